"""Names as they are spread in the United States, drawn by weight.

Given names and surnames from the census and social security counts, most frequent first, with the
accents, apostrophes and hyphens that real membership lists have and matching code stumbles over.
Weights are per mille of the population, rounded; only their proportions matter.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

_GIVEN = """
James 31 Mary 30 Robert 29 Patricia 15 John 30 Jennifer 14 Michael 29 Linda 14 David 25 Elizabeth 14
William 24 Barbara 13 Richard 21 Susan 11 Joseph 17 Jessica 10 Thomas 16 Karen 10 Christopher 15 Sarah 10
Charles 14 Lisa 9 Daniel 14 Nancy 9 Matthew 13 Sandra 8 Anthony 11 Ashley 8 Mark 12 Emily 8 Steven 11
Kimberly 8 Donald 11 Betty 8 Andrew 10 Margaret 8 Joshua 10 Donna 8 Paul 10 Michelle 8 Kenneth 10 Carol 8
Kevin 10 Amanda 7 Brian 10 Melissa 7 Timothy 9 Deborah 7 Ronald 9 Stephanie 7 Jason 9 Rebecca 7 George 9
Sharon 7 Edward 8 Laura 7 Jeffrey 8 Cynthia 7 Ryan 8 Amy 7 Jacob 8 Kathleen 7 Nicholas 7 Angela 7 Gary 7
Dorothy 7 Eric 7 Shirley 6 Jonathan 7 Emma 6 Stephen 7 Brenda 6 Larry 6 Nicole 6 Justin 6 Pamela 6 Scott 6
Samantha 6 Brandon 6 Anna 6 Benjamin 6 Katherine 6 Samuel 6 Christine 6 Gregory 6 Debra 6 Alexander 6
Rachel 5 Patrick 5 Olivia 5 Frank 5 Carolyn 5 Jack 5 Maria 5 Raymond 5 Janet 5 Dennis 5 Heather 5 Tyler 5
Diane 5 Aaron 5 Catherine 4 Jerry 4 Julie 4 Jose 4 Victoria 4 Nathan 4 Helen 4 Adam 4 Joyce 4 Henry 4
Lauren 4 Zachary 4 Kelly 4 Douglas 4 Christina 4 Peter 4 Joan 4 Noah 4 Judith 4 Ethan 4 Ruth 3 Walter 3
Grace 3 Christian 3 Alice 3 Austin 3 Judy 3 Carl 3 Theresa 3 Arthur 3 Beverly 3 Lawrence 3 Denise 3 Albert 2
Marilyn 3 Bobby 2 Amber 2 Philip 2 Jean 3 Louis 2 Rose 2 Liam 3 José 2 María 2 Sofía 1 Andrés 1 Zoë 1
Renée 1 Chloé 1 Jesús 1 Inés 1 Jean-Luc 1 Mary-Ann 1 D'Angelo 1 Priya 1 Mei 1 Hiro 1 Yusuf 1 Fatima 1
Nguyệt 1 Søren 1 Aoife 1
"""

_FAMILY = """
Smith 83 Johnson 66 Williams 55 Brown 49 Jones 48 Garcia 40 Miller 40 Davis 38 Rodriguez 37 Martinez 36
Hernandez 35 Lopez 30 Gonzalez 29 Wilson 27 Anderson 27 Thomas 26 Taylor 26 Moore 25 Jackson 24 Martin 24
Lee 24 Perez 23 Thompson 23 White 22 Harris 21 Sanchez 21 Clark 19 Ramirez 19 Lewis 18 Robinson 18 Walker 18
Young 17 Allen 17 King 16 Wright 16 Scott 15 Torres 15 Nguyen 15 Hill 15 Flores 14 Green 14 Adams 14
Nelson 14 Baker 14 Hall 14 Rivera 13 Campbell 13 Mitchell 13 Carter 13 Roberts 13 Gomez 12 Phillips 12
Evans 12 Turner 12 Diaz 12 Parker 11 Cruz 11 Edwards 11 Collins 11 Reyes 11 Stewart 11 Morris 11 Morales 10
Murphy 10 Cook 10 Rogers 10 Gutierrez 9 Ortiz 9 Morgan 9 Cooper 9 Peterson 9 Bailey 9 Reed 9 Kelly 9
Howard 9 Ramos 9 Kim 9 Cox 8 Ward 8 Richardson 8 Watson 8 Brooks 8 Chavez 8 Wood 8 James 8 Bennett 8 Gray 8
Mendoza 8 Ruiz 8 Hughes 8 Price 7 Alvarez 7 Castillo 7 Sanders 7 Patel 7 Myers 7 Long 7 Ross 7 Foster 7
Jimenez 7 Powell 7 Jenkins 7 Perry 7 Russell 6 Sullivan 6 Bell 6 Coleman 6 Butler 6 Henderson 6 Barnes 6
Gonzales 6 Fisher 6 Vasquez 6 Simmons 6 Romero 6 Jordan 6 Patterson 6 Alexander 6 Hamilton 6 Graham 5
Reynolds 5 Griffin 5 Wallace 5 Moreno 5 West 5 Cole 5 Hayes 5 Bryant 5 Herrera 5 Gibson 5 Ellis 5 Tran 5
Medina 5 Aguilar 5 Stevens 5 Murray 5 Ford 5 Castro 5 Marshall 5 Owens 5 Harrison 5 Fernandez 5 McDonald 5
Woods 5 Washington 5 Kennedy 4 Wells 4 Vargas 4 Henry 4 Chen 4 Freeman 4 Webb 4 Tucker 4 Guzman 4 Burns 4
Crawford 4 Olson 4 Simpson 4 Porter 4 Hunter 4 Gordon 4 Mendez 4 Silva 4 Shaw 4 Snyder 4 Mason 4 Dixon 4
Munoz 4 Hunt 4 Hicks 4 Holmes 4 Palmer 4 Wagner 4 Black 4 Robertson 4 Boyd 3 Rose 3 Stone 3 Salazar 3 Fox 3
Warren 3 Mills 3 Meyer 3 Rice 3 Schmidt 3 Khan 2 Singh 2 García 2 López 2 Núñez 1 Muñoz 1 Peña 1 Müller 1
Björk 1 Lefèvre 1 O'Brien 3 O'Connor 2 O'Neill 1 D'Amico 1 Smith-Jones 1 Garcia-Lopez 1 Taylor-Hughes 1
"""


def _table(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    cells = text.split()
    return tuple(cells[::2]), tuple(accumulate(int(weight) for weight in cells[1::2]))


_GIVEN_NAMES, _GIVEN_WEIGHTS = _table(_GIVEN)
_FAMILY_NAMES, _FAMILY_WEIGHTS = _table(_FAMILY)


def given_name(number: int) -> str:
    """Return the given name that a uniformly drawn number falls on."""
    return _GIVEN_NAMES[bisect_right(_GIVEN_WEIGHTS, number % _GIVEN_WEIGHTS[-1])]


def family_name(number: int) -> str:
    """Return the surname that a uniformly drawn number falls on."""
    return _FAMILY_NAMES[bisect_right(_FAMILY_WEIGHTS, number % _FAMILY_WEIGHTS[-1])]
