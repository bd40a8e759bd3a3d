"""Whether the benchmark of full tables asks everything that there is to be questions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench import questions
from voipcluster.voipctl.cli import command_line
from voipcluster.web.site import STATIC


class QuestionTests(SynchronousTestCase):
    def test_every_command(self) -> None:
        """Each command of voipctl has words, no other has, and all of them are words that its parser takes."""
        self.assertEqual(sorted(questions.COMMANDS), sorted(questions.leaves(command_line())))
        files = {"config": "c", "subscribers": "s", "call_id": "-x y"}
        count, parser = 0, command_line()
        for name, way, lines in questions.commands((1, 2), **{**files, "call_id": "x"}):
            count += len(lines)
            self.assertEqual(len(lines), 1 if way.once else 2)
            for words in lines:
                self.assertTrue(" ".join(words).startswith(name))
                parser.parse_args(words)
        self.assertGreater(count, 100)

    def test_a_new_command(self) -> None:
        """One without words ends the benchmark before it begins."""
        self.patch(
            questions, "COMMANDS", {name: ways for name, ways in questions.COMMANDS.items() if name != "bans"}
        )
        error = self.assertRaises(SystemExit, next, questions.commands((1,)))
        self.assertEqual(str(error), "bench/questions.py has no words for voipctl bans")

    def test_every_page(self) -> None:
        """Each page of the site is among them, the files of the page, too; what is sent is not read."""
        paths = questions.paths()
        self.assertLessEqual({"", "metrics", "api/status", "api/trace", "static/dashboard.js"}, set(paths))
        files = {f"static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*.js")}
        self.assertLessEqual(files, set(paths))
        self.assertEqual(set(questions.POSTS) | set(questions.PAGES) | set(paths), set(paths))
        pages = questions.pages("x%40y")
        self.assertEqual({page.partition("?")[0] for page in pages} & set(questions.POSTS), set())
        self.assertIn("api/trace/x%40y", pages)
        self.assertEqual(len(pages), len(set(pages)))
