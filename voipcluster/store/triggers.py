"""
What the shared database does itself, whoever writes: it gives each change a version, hashes passwords, remembers what is
gone, and tells the nodes. PostgreSQL only; the embedded database has one writer.

Nodes say C{voipcluster.writer = 'node'} in their transactions: they bring versions of their own, and remember removals
themselves.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

CHANNEL: Final = "voipcluster_changed"
WRITER: Final = "SELECT set_config('voipcluster.writer', 'node', true)"

_NOW = "extract(epoch from clock_timestamp())"
_MICROSECONDS = f"({_NOW} * 1000000)::bigint"
_BY_NODE = "current_setting('voipcluster.writer', true) = 'node'"

# SECURITY DEFINER: who may write a table needs no rights on those that follow from it
_END = "LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT"

_STAMP = f"""
    IF TG_OP = 'UPDATE' THEN
        IF NEW.version = OLD.version THEN
            NEW.version := 0;
        END IF;
    END IF;
    IF NEW.version = 0 THEN
        NEW.version := greatest({_MICROSECONDS}, newest + 1);
        NEW.last_modified := {_NOW};
    END IF;
    NEW.changed := txid_current();
    DELETE FROM removed_rows WHERE kind = of_kind AND key = of_key;
    RETURN NEW;
"""

_NEWEST = """
    SELECT coalesce(max(version), 0) INTO newest FROM removed_rows WHERE kind = of_kind AND key = of_key;
    IF TG_OP = 'UPDATE' THEN
        newest := greatest(newest, OLD.version);
    END IF;
"""


def _function(name: str, body: str, variables: str = "") -> str:
    declared = f"DECLARE {variables}" if variables else ""
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger AS $$ {declared} BEGIN {body} END $$ {_END}"


def _removed(kind: str, key: str, rows: str = "") -> str:
    return f"""
        INSERT INTO removed_rows (kind, key, version, changed, removed_at)
        SELECT '{kind}', {key}, greatest({_MICROSECONDS}, OLD.version + 1), txid_current(), {_NOW} {rows}
        ON CONFLICT (kind, key) DO UPDATE
        SET version = greatest(removed_rows.version, excluded.version), changed = excluded.changed,
            removed_at = excluded.removed_at;
    """


_OF_ACCOUNT, _OF_GATEWAY = "OLD.username || '@' || OLD.domain", "OLD.name"

FUNCTIONS: Final = (
    _function(
        "voipcluster_subscriber",
        f"""
    NEW.domain := lower(NEW.domain);
    NEW.ha1 := lower(NEW.ha1);
    NEW.ha1_sha256 := lower(NEW.ha1_sha256);
    of_key := NEW.username || '@' || NEW.domain;
    IF TG_OP = 'INSERT' THEN
        -- ON CONFLICT DO UPDATE has from here what it calls excluded: the update that follows needs the password itself. The lock
        -- keeps the row where it is, so that no password goes into the table.
        PERFORM 1 FROM subscriber WHERE username = NEW.username AND domain = NEW.domain FOR KEY SHARE;
        IF FOUND THEN
            RETURN NEW;
        END IF;
    END IF;
    IF NEW.password <> '' THEN
        a1 := convert_to(NEW.username || ':' || NEW.domain || ':' || NEW.password, 'UTF8');
        NEW.ha1 := md5(a1);
        NEW.ha1_sha256 := encode(sha256(a1), 'hex');
        NEW.ha1b := md5(convert_to(of_key || ':' || NEW.domain || ':' || NEW.password, 'UTF8'));
        NEW.password := '';
    ELSIF TG_OP = 'UPDATE' AND ({_BY_NODE}) IS NOT TRUE THEN
        -- a program that knows one digest only: those of the former password are worth nothing any more
        IF NEW.ha1 NOT IN (OLD.ha1, '') OR NEW.ha1_sha256 NOT IN (OLD.ha1_sha256, '') THEN
            IF NEW.ha1 = OLD.ha1 THEN
                NEW.ha1 := '';
            END IF;
            IF NEW.ha1_sha256 = OLD.ha1_sha256 THEN
                NEW.ha1_sha256 := '';
            END IF;
            IF NEW.ha1b = OLD.ha1b THEN
                NEW.ha1b := '';
            END IF;
        END IF;
    END IF;
    {_NEWEST} {_STAMP}""",
        "of_kind text := 'account'; of_key text; newest bigint; a1 bytea;",
    ),
    _function(
        "voipcluster_dispatcher",
        f"""
    IF NEW.name IS NULL OR NEW.name = '' THEN
        NEW.name := coalesce(
            substring(NEW.attrs from '(?:^|;)\\s*duid=([A-Za-z0-9][A-Za-z0-9_.-]{{0,62}})'),
            'set' || NEW.setid || '-' || substr(md5(NEW.destination), 1, 8));
    END IF;
    of_key := NEW.name;
    {_NEWEST} {_STAMP}""",
        "of_kind text := 'gateway'; of_key text; newest bigint;",
    ),
    _function(
        "voipcluster_subscriber_gone",
        f"""
    IF {_BY_NODE} THEN
        RETURN NULL;
    END IF;
    {_removed("account", _OF_ACCOUNT)}
    DELETE FROM usr_preferences WHERE username = OLD.username AND domain = OLD.domain;
    RETURN NULL;""",
    ),
    _function(
        "voipcluster_dispatcher_gone",
        f"IF {_BY_NODE} THEN RETURN NULL; END IF; {_removed('gateway', _OF_GATEWAY)} RETURN NULL;",
    ),
    _function(
        "voipcluster_subscriber_emptied",
        f"{_removed('account', _OF_ACCOUNT, 'FROM subscriber AS OLD')} RETURN NULL;",
    ),
    _function(
        "voipcluster_dispatcher_emptied",
        f"{_removed('gateway', _OF_GATEWAY, 'FROM dispatcher AS OLD')} RETURN NULL;",
    ),
    _function(
        "voipcluster_preference",
        f"""
    IF {_BY_NODE} THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE subscriber SET version = 0 WHERE username = OLD.username AND domain = OLD.domain;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE subscriber SET version = 0 WHERE username = NEW.username AND domain = lower(NEW.domain);
    END IF;
    RETURN NULL;""",
    ),
    _function(
        "voipcluster_address",
        f"""
    IF {_BY_NODE} THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE dispatcher SET version = 0 WHERE name = OLD.tag;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE dispatcher SET version = 0 WHERE name = NEW.tag;
    END IF;
    RETURN NULL;""",
    ),
    _function("voipcluster_tell", f"PERFORM pg_notify('{CHANNEL}', ''); RETURN NULL;"),
)

_EACH_ROW = "FOR EACH ROW EXECUTE FUNCTION"
_EACH_STATEMENT = "FOR EACH STATEMENT EXECUTE FUNCTION"
TRIGGERS: Final = {
    # name: table, when, what
    "voipcluster_stamp_subscriber": ("subscriber", "BEFORE INSERT OR UPDATE", f"{_EACH_ROW} voipcluster_subscriber()"),
    "voipcluster_stamp_dispatcher": ("dispatcher", "BEFORE INSERT OR UPDATE", f"{_EACH_ROW} voipcluster_dispatcher()"),
    "voipcluster_removed_subscriber": ("subscriber", "AFTER DELETE", f"{_EACH_ROW} voipcluster_subscriber_gone()"),
    "voipcluster_removed_dispatcher": ("dispatcher", "AFTER DELETE", f"{_EACH_ROW} voipcluster_dispatcher_gone()"),
    "voipcluster_renamed_subscriber": (
        "subscriber",
        "AFTER UPDATE",
        "FOR EACH ROW WHEN (OLD.username <> NEW.username OR OLD.domain <> NEW.domain) "
        "EXECUTE FUNCTION voipcluster_subscriber_gone()",
    ),
    "voipcluster_renamed_dispatcher": (
        "dispatcher",
        "AFTER UPDATE",
        "FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION voipcluster_dispatcher_gone()",
    ),
    "voipcluster_emptied_subscriber": (
        "subscriber", "BEFORE TRUNCATE", f"{_EACH_STATEMENT} voipcluster_subscriber_emptied()",
    ),
    "voipcluster_emptied_dispatcher": (
        "dispatcher", "BEFORE TRUNCATE", f"{_EACH_STATEMENT} voipcluster_dispatcher_emptied()",
    ),
    "voipcluster_preferences": (
        "usr_preferences", "AFTER INSERT OR UPDATE OR DELETE", f"{_EACH_ROW} voipcluster_preference()",
    ),
    "voipcluster_addresses": ("address", "AFTER INSERT OR UPDATE OR DELETE", f"{_EACH_ROW} voipcluster_address()"),
    **{
        f"voipcluster_tell_{table}": (
            table, "AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE", f"{_EACH_STATEMENT} voipcluster_tell()",
        )
        for table in ("subscriber", "dispatcher", "address", "removed_rows")
    },
}  # fmt: skip

_DEFAULTS = {
    # so that a row needs no more columns than other servers have
    "subscriber": {
        "ha1": "''", "ha1_sha256": "''", "disabled": "false", "created": _NOW, "last_modified": _NOW,
    },
    "usr_preferences": {"last_modified": _NOW},
    "dispatcher": {
        "setid": "1", "flags": "0", "priority": "0", "attrs": "''", "description": "''", "password": "''",
        "last_modified": _NOW,
    },
}  # fmt: skip


def make_triggers(connection: Connection) -> None:
    """Functions, triggers and defaults of the shared database, also over those of another release; elsewhere nothing."""
    if connection.dialect.name != "postgresql":
        return
    statements = [*FUNCTIONS]
    for name, (table, when, what) in TRIGGERS.items():
        statements.append(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        statements.append(f"CREATE TRIGGER {name} {when} ON {table} {what}")
    for table, columns in _DEFAULTS.items():
        statements += [
            f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}"
            for column, default in columns.items()
        ]
    statements += [
        f"CREATE INDEX IF NOT EXISTS ix_{table}_changed ON {table} (changed)"
        for table in ("subscriber", "dispatcher", "removed_rows")
    ]
    for statement in statements:
        connection.exec_driver_sql(statement)
