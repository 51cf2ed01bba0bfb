-- What the atlas is, of which model and corpora, by which methods, under which licences, and how far it goes.
SELECT section, text
FROM card
ORDER BY place
