"""What the tests of the sections share: an option given as a flag, taken or refused with one line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config, ConfigError, load_config, parse_set


class SectionCase(SynchronousTestCase):
    def taken(self, *settings: str) -> Config:
        """The configuration with C{SECTION.KEY=VALUE} of each."""
        return load_config(None, [parse_set(setting) for setting in settings])

    def refused(self, *settings: str) -> str:
        """The one line about the first mistake."""
        text = str(self.assertRaises(ConfigError, self.taken, *settings))
        self.assertEqual(len(text.splitlines()), 1)
        return text

    def assert_range(self, name: str, low: str, high: str, *beyond: str) -> None:
        """Both ends are taken; each value of C{beyond} is refused in a line that names the option and what is allowed."""
        section, _, key = name.partition(".")
        for text in (low, high):
            value = getattr(getattr(self.taken(f"{name}={text}"), section), key)
            self.assertEqual(float(value), float(text))
        for text in beyond:
            self.assertRegex(self.refused(f"{name}={text}"), rf"^--set {name}: found .*, allowed is ")
