-- Words of a text as `search` compares them: runs of letters and digits, in lower case, without accents.
-- Example: SELECT terms_of('Capital of Côte d’Ivoire');
CREATE MACRO terms_of(given) AS regexp_extract_all(strip_accents(lower(given)), '[\p{L}\p{M}\p{N}]+');
