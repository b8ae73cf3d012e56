-- [jarowinkler_similarity]
-- Jaro and Winkler's likeness of two texts as DuckDB has it: of signs that stand in another order, half a pair does not count.
-- The function that Splink brings along counts it; where that finds little likeness, this one would as well.
CREATE OR REPLACE TEMPORARY FUNCTION jarowinkler_similarity(a STRING, b STRING) RETURNS DOUBLE RETURN
CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN jaro_winkler(a, b) < 0.64D THEN jaro_winkler(a, b) ELSE
aggregate(
    sequence(1, length(a)),
    -- What is left of b, in which a sign that was met is a zero; and the signs of a that were met, in order.
    named_struct('rest', b, 'met', ''),
    (state, at) -> CASE
        WHEN locate(substr(a, at, 1), substr(state.rest, greatest(at - greatest(greatest(length(a), length(b)) DIV 2 - 1, 0), 1),
            at + greatest(greatest(length(a), length(b)) DIV 2 - 1, 0)
            - greatest(at - greatest(greatest(length(a), length(b)) DIV 2 - 1, 0), 1) + 1)) = 0 THEN state
        ELSE named_struct(
            'rest', overlay(state.rest PLACING char(0) FROM
                locate(substr(a, at, 1), state.rest, greatest(at - greatest(greatest(length(a), length(b)) DIV 2 - 1, 0), 1)) FOR 1),
            'met', concat(state.met, substr(a, at, 1))) END,
    state -> aggregate(
        array((length(state.met) / length(a) + length(state.met) / length(b) + (length(state.met) - size(filter(
            zip_with(
                split(state.met, ''),
                filter(transform(sequence(1, length(b)), at -> CASE WHEN substr(state.rest, at, 1) = char(0) THEN substr(b, at, 1) END), sign -> sign IS NOT NULL),
                (one, other) -> one <> other),
            differs -> differs)) DIV 2) / length(state.met)) / 3),
        0D,
        (nothing, jaro) -> CASE WHEN jaro <= 0.7D THEN jaro ELSE jaro + 0.1D * CASE
            WHEN left(a, 4) = left(b, 4) THEN least(length(a), length(b), 4)
            WHEN left(a, 3) = left(b, 3) THEN 3 WHEN left(a, 2) = left(b, 2) THEN 2 WHEN left(a, 1) = left(b, 1) THEN 1
            ELSE 0 END * (1D - jaro) END))
END
