"""The accounts: who may register and call. They are in memory for the hot path, and on the disk before a change counts."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from attrs import evolve
from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from voipcluster.balance.messages import Account, Ha1, Preference, PreferenceChange
from voipcluster.errors import UsageError
from voipcluster.sip.preferences import NAMES, Preferences, read
from voipcluster.store.database import Database, Statement
from voipcluster.store.tables import subscriber, usr_preferences
from voipcluster.store.versions import Versions

MD5, SHA_256 = "MD5", "SHA-256"
_USERNAME = re.compile(r"[A-Za-z0-9!$&*+\-./=?_~%,;]{1,128}")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:\-]{0,253}[A-Za-z0-9])?")


def new_account(username: str, domain: str, password: str) -> Account:
    """
    An account with H(A1) for MD5 and SHA-256 (RFC 7616 section 3.4.2); the realm is the domain, and the password is not kept.

    @raise UsageError: not a user name or domain of a SIP URI, or no password.
    """
    if _USERNAME.fullmatch(username) is None or _DOMAIN.fullmatch(domain) is None:
        raise UsageError(f"{username}@{domain}: not a user name and domain of a SIP address")
    if not password or len(password) > 256:
        raise UsageError("a password has 1 to 256 characters")
    domain = domain.lower()
    a1 = f"{username}:{domain}:{password}".encode()
    md5 = hashlib.md5(a1, usedforsecurity=False).hexdigest()
    sha_256 = hashlib.sha256(a1).hexdigest()
    ha1 = (Ha1(algorithm=MD5, ha1=md5), Ha1(algorithm=SHA_256, ha1=sha_256))
    return Account(username=username, domain=domain, ha1=ha1)


def imported_account(username: str, domain: str, md5: str, sha_256: str) -> Account:
    """
    An account of another server, which has H(A1) and no password.

    @param md5: in lower-case hex, C{sha_256} too, or empty.
    @raise UsageError: not a user name or domain of a SIP URI, or not such a digest.
    """
    if _USERNAME.fullmatch(username) is None or _DOMAIN.fullmatch(domain) is None:
        raise UsageError(f"{username}@{domain}: not a user name and domain of a SIP address")
    found = [
        Ha1(algorithm=name, ha1=value)
        for name, value, size in ((MD5, md5, 32), (SHA_256, sha_256, 64))
        if value and (len(value) == size and set(value) <= set("0123456789abcdef"))
    ]
    if len(found) != bool(md5) + bool(sha_256) or not found:
        raise UsageError(f"{username}@{domain}: its HA1 is not a digest in hex")
    return Account(username=username, domain=domain.lower(), ha1=tuple(found))


class Accounts:
    """
    All accounts; at the primary these are the accounts of the cluster, elsewhere a copy.

    @param shared: whether the shared database has them too.
    @ivar preferences: what users want, by address of record, of all who want anything.
    @ivar versions: of each account.
    @ivar unusable: called with each address of record whose account is removed or disabled, when that counts.
    """

    _log = Logger()

    def __init__(
        self, database: Database, wall_clock: Callable[[], float] = time.time, shared: bool = False
    ) -> None:
        self._database, self._wall_clock = database, wall_clock
        self.versions: Versions[tuple[str, str], Account] = Versions(
            "account", database, wall_clock, account_key, lambda account: "@".join(account_key(account)),
            key_of_text, shared,
        )  # fmt: skip
        self._accounts: dict[tuple[str, str], Account] = {}
        self.preferences: dict[str, Preferences] = {}
        self.unusable: Callable[[str], object] = lambda aor: None
        wanted: dict[tuple[str, str], list[Preference]] = {}
        for row in database.rows(select(usr_preferences)):
            wanted.setdefault((row.username, row.domain), []).append(
                Preference(name=row.attribute, text=row.value)
            )
        for row in database.rows(select(subscriber)):
            ha1 = tuple(
                Ha1(algorithm=name, ha1=value)
                for name, value in ((MD5, row.ha1), (SHA_256, row.ha1_sha256))
                if value
            )
            self._keep(
                Account(
                    username=row.username,
                    domain=row.domain,
                    ha1=ha1,
                    disabled=row.disabled,
                    preferences=tuple(wanted.get((row.username, row.domain), ())),
                    version=row.version,
                )
            )
            self.versions.known[row.username, row.domain] = row.version

    def __len__(self) -> int:
        return len(self._accounts)

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._accounts.values()))

    def page(self, after: int, count: int) -> Iterator[Account]:
        """At most C{count} accounts, behind the first C{after} ones."""
        return islice(self._accounts.values(), after, after + count)

    def keys(self) -> list[tuple[str, str]]:
        """User name and domain of each, in a list that stays as it is whoever comes and goes meanwhile."""
        return list(self._accounts)

    def get(self, username: str, domain: str) -> Account | None:
        """The account, also when it is disabled."""
        return self._accounts.get((username, domain.lower()))

    def ha1(self, username: str, domain: str, algorithm: str) -> str | None:
        """H(A1) in lower-case hex of an account that may be used; C{algorithm} is C{MD5} or C{SHA-256}."""
        account = self.get(username, domain)
        if account is None or account.disabled:
            return None
        return next((one.ha1 for one in account.ha1 if one.algorithm == algorithm), None)

    def with_removed(self) -> Iterator[Account]:
        """All accounts, and those that are gone, as far as that is remembered."""
        yield from self
        for (username, domain), version in list(self.versions.removed.items()):
            yield Account(username=username, domain=domain, removed=True, version=version)

    def put(self, *given: Account, also: Sequence[Statement] = ()) -> Deferred[None]:
        """
        Add, replace or (C{removed}) remove accounts; what is older than the one that is known changes nothing.

        @param also: is written in the same transaction.
        @return: fires when they are on the disk and count from then on.
        """
        accounts = self.versions.take(given)
        now = self._wall_clock()
        rows = [_row(account, now) for account in accounts if not account.removed]
        gone = [account for account in accounts if account.removed]
        statement = insert(subscriber)
        upsert = statement.on_conflict_do_update(
            index_elements=["username", "domain"],
            set_={
                name: statement.excluded[name]
                for name in ("ha1", "ha1_sha256", "disabled", "last_modified", "version")
            },
        )
        statements: list[Statement] = [*also, *self.versions.statements(accounts)]
        if gone:
            owners = [{"of": account.username, "at": account.domain.lower()} for account in gone]
            statements.append((_ACCOUNT_OF, owners))
        if accounts:
            owners = [{"of": account.username, "at": account.domain.lower()} for account in accounts]
            statements.append((_PREFERENCES_OF, owners))
        if rows:
            statements.append((upsert, rows))
        wanted = [
            row for account in accounts if not account.removed for row in _preference_rows(account, now)
        ]
        if wanted:
            statements.append((insert(usr_preferences), wanted))
        written = self._database.write(*statements)

        def count(_: None) -> None:
            self.versions.stored(accounts)
            for account in accounts:
                self._keep(account)
                if account.removed or account.disabled:
                    self.unusable("@".join(account_key(account)))

        return written.addCallbacks(count, self.versions.not_stored, errbackArgs=(accounts,))

    def stamped(self, account: Account) -> Account:
        """A change that is decided on now."""
        return evolve(account, version=self.versions.next(account_key(account)))

    def account_with(self, change: Account | PreferenceChange) -> Account:
        """
        An account as it is with a change, which says nothing of the rest.

        @raise UsageError: no such account, one that was to be new and is there, or a preference that is none.
        """
        known = self.get(change.username, change.domain)
        if isinstance(change, Account):
            if change.new and known is not None:
                raise UsageError(
                    f"user {known.username}@{known.domain} exists already: somebody has added him meanwhile"
                )
            if known is None or change.removed:
                return evolve(change, new=False)
            return evolve(change, preferences=known.preferences, disabled=known.disabled)
        if known is None:
            raise UsageError(f"there is no user {change.username}@{change.domain}")
        texts = {one.name: one.text for one in (*known.preferences, *change.items)}
        wanted = {name: text for name, text in texts.items() if text or name not in NAMES}
        read(known.username, known.domain, wanted)
        preferences = tuple(Preference(name=name, text=text) for name, text in sorted(wanted.items()))
        return evolve(known, preferences=preferences)

    def keep_only(self, keys: Iterable[tuple[str, str]]) -> Deferred[None]:
        """Remove all accounts but those; C{keys} are (username, domain)."""
        kept = {(username, domain.lower()) for username, domain in keys}
        return self.put(
            *(
                Account(username=name, domain=domain, removed=True)
                for name, domain in self._accounts.keys() - kept
            )
        )

    def _keep(self, account: Account) -> None:
        key = account_key(account)
        self.preferences.pop("@".join(key), None)
        if account.removed:
            self._accounts.pop(key, None)
        else:
            self._accounts[key] = account
            if account.preferences:
                self._read_preferences(account)

    def _read_preferences(self, account: Account) -> None:
        """Those that this version knows; the primary has seen that they are good."""
        domain = account.domain.lower()
        texts = {one.name: one.text for one in account.preferences if one.name in NAMES}
        try:
            self.preferences[f"{account.username}@{domain}"] = read(account.username, domain, texts)
        except UsageError as error:
            self._log.warn(
                "preferences of {user}@{domain} are left out: {error}",
                user=account.username, domain=domain, error=str(error),
            )  # fmt: skip


def shown(account: Account) -> dict[str, object]:
    """What may be told of an account: C{user}, the names of its C{digests}, and whether it is C{disabled}."""
    return {
        "user": f"{account.username}@{account.domain}",
        "digests": [one.algorithm for one in account.ha1],
        "disabled": account.disabled,
    }


def account_key(account: Account) -> tuple[str, str]:
    """What makes two accounts the same one."""
    return account.username, account.domain.lower()


def key_of_text(text: str) -> tuple[str, str]:
    """L{account_key} of C{username@domain}."""
    username, _, domain = text.rpartition("@")
    return username, domain


_ACCOUNT_OF = delete(subscriber).where(
    subscriber.c.username == bindparam("of"), subscriber.c.domain == bindparam("at")
)
_PREFERENCES_OF = delete(usr_preferences).where(
    usr_preferences.c.username == bindparam("of"), usr_preferences.c.domain == bindparam("at")
)


def _preference_rows(account: Account, now: float) -> Iterator[dict[str, object]]:
    for one in account.preferences:
        yield {
            "username": account.username, "domain": account.domain.lower(), "attribute": one.name, "value": one.text,
            "last_modified": now,
        }  # fmt: skip


def _row(account: Account, now: float) -> dict[str, object]:
    found = {one.algorithm: one.ha1 for one in account.ha1}
    return {
        "username": account.username, "domain": account.domain.lower(), "ha1": found.get(MD5, ""),
        "ha1_sha256": found.get(SHA_256, ""), "disabled": account.disabled, "created": now, "last_modified": now,
        "version": account.version,
    }  # fmt: skip
