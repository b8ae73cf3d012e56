-- Conditions that the levels of model.toml share. Each is put in the place of its name, with the arguments for its parameters.
-- One may use those before it.

-- [typo(a, b)]
least(length(a), length(b)) >= 2 AND damerau_levenshtein(a, b) = 1

-- [same_words(a, b)]
a = b OR replace(a, ' ', '') = replace(b, ' ', '')

-- [part(a, b)]
-- Whether one of two names is some of the other's words.
(strpos(a, ' ') > 0) <> (strpos(b, ' ') > 0)
    AND (strpos(' ' || a || ' ', ' ' || b || ' ') > 0 OR strpos(' ' || b || ' ', ' ' || a || ' ') > 0)

-- [alike(a, b)]
least(length(a), length(b)) > 3 AND (jaro_winkler_similarity(a, b) >= 9.199999e-1
    OR (least(length(a), length(b)) >= 6 AND damerau_levenshtein(a, b) = 2))

-- [distantly_alike(a, b)]
jaro_winkler_similarity(a, b) >= 7.999999e-1 OR (least(length(a), length(b)) >= 4 AND damerau_levenshtein(a, b) = 2)

-- [unlike(a, b)]
-- Whether two names have no likeness at all: what the later levels would call different leaves early.
strpos(a, ' ') = 0 AND strpos(b, ' ') = 0 AND least(length(a), length(b)) > 4 AND jaro_winkler_similarity(a, b) < 6.999999e-1

-- [cut_short(a, b)]
(starts_with(a, b) AND length(b) > 2 AND length(a) > length(b) + 1) OR (starts_with(b, a) AND length(a) > 2 AND length(b) > length(a) + 1)

-- [is_form(kin, name)]
coalesce(array_contains(kin, name), FALSE)

-- [crossed(given, family, other_given, other_family)]
given = other_family AND family = other_given AND given <> other_given

-- [half_crossed(given, family, other_given, other_family)]
-- Whether one name stands in the other's place and the second name is missing.
(given = other_family AND given IS DISTINCT FROM other_given AND (family IS NULL OR other_given IS NULL))
    OR (family = other_given AND family IS DISTINCT FROM other_family AND (given IS NULL OR other_family IS NULL))

-- [nearly_crossed(given, family, kin_given, kin_family, other_given, other_family)]
given <> other_given AND family <> other_family AND (
    (given = other_family AND (damerau_levenshtein(family, other_given) <= 1 OR part(family, other_given)
        OR jaro_winkler_similarity(family, other_given) >= 9.199999e-1 OR is_form(kin_family, other_given)))
    OR (family = other_given AND (damerau_levenshtein(given, other_family) <= 1 OR part(given, other_family)
        OR jaro_winkler_similarity(given, other_family) >= 9.199999e-1 OR is_form(kin_given, other_family))))

-- [misspelt_address(a, b, domain, other_domain)]
-- Up to two slips, at most one in five letters.
damerau_levenshtein(a, b) <= 2 AND least(length(a), length(b)) >= 5 * damerau_levenshtein(a, b)
    AND damerau_levenshtein(domain, other_domain) <= 2

-- [says_other_name(said, letters, own, other)]
-- Whether an address says another first name than its owner's, or its initial.
(length(other) > 2 AND strpos(own, other) = 0 AND strpos(said, other) > 0)
    OR (substr(own, 1, 1) <> substr(other, 1, 1) AND letters = substr(other, 1, 1))

-- [says_own_name(said, letters, own, other)]
-- Whether an address says its owner's first name, and not a longer one that another record has, or its initial.
(strpos(said, own) > 0 AND NOT (strpos(other, own) > 0 AND strpos(said, other) > 0))
    OR (substr(own, 1, 1) <> substr(other, 1, 1) AND letters = substr(own, 1, 1))

-- [same_line(a, b)]
-- Whether one of two phone numbers is the other without its area code.
(length(b) >= 7 AND length(a) > length(b) AND substr(a, length(a) - length(b) + 1) = b)
    OR (length(a) >= 7 AND length(b) > length(a) AND substr(b, length(b) - length(a) + 1) = a)

-- [turned(a, b)]
-- Whether day and month of two days, YYYYMMDD, are in each other's place.
substr(a, 1, 4) || substr(a, 7, 2) || substr(a, 5, 2) = b

-- [two_parts(a, b)]
-- Whether two days share two of year, month and day.
CASE WHEN substr(a, 1, 4) = substr(b, 1, 4) THEN 1 ELSE 0 END + CASE WHEN substr(a, 5, 2) = substr(b, 5, 2) THEN 1 ELSE 0 END
    + CASE WHEN substr(a, 7, 2) = substr(b, 7, 2) THEN 1 ELSE 0 END = 2
