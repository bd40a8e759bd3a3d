"""How much of a list a node gives in one answer, to whoever asks; what asks for all of it asks again."""

PAGE = 500
"""Rows of a list in one answer at most: to make them and to write them as JSON takes some 10 ms, in which no call goes on."""

ROWS = 1000
"""The same of users with what is known of each."""

NAMES = 4000
"""The same of a list of names."""

SILENT = "Voipcluster-Silent"
"""The header of a list on the web page that names the nodes that did not answer: what they have is missing."""

SHOWN = 200
"""Rows of a list where nobody says how many are wanted."""
