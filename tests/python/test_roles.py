"""Who may do what: every cell of the matrix is tried as that login, on both servers, after a real Sunday."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection, sql

from conftest import COMMAND, debian_bin_dir
from controls import seeded
from frozen_window import WINDOW, frozen_window, one
from rail_batches import KEY, Bench, bench
from sample_documents import pdf
from small_week import NIGHT
from weekclose import events
from weekclose.database import open_connection
from weekclose.migrations import migrate
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.rails.protocol import RailEvent
from weekclose.settings import Settings, project_dir
from weekclose.sunday import run_sunday
from weekclose.warehouse import Warehouse

pytestmark = pytest.mark.catalogue(14)

REFUSED = "42501"

# Letters: select, insert, update, delete, truncate; `l` is what locks a table against all writers. The first
# line that fits a relation counts.
TABLES = """
relation               analyst dbt    loader operator approver reconciler billing admin webhook auditor seller owner
public.*               s       s      s      s        s        s          s       s     s       s       s      si
raw.rejected_rows      .       s      si     s        .        s          s       s     .       .       .      siudtl
raw.*                  .       s      siu    s        .        s          s       s     .       .       .      siudtl
payouts.turns          .       s      .      sl       s        s          s       sl    .       s       .      siudtl
payouts.judged_wallets .       s      .      si       s        s          s       si    .       s       .      siudtl
payouts.second_factors .       .      .      .        .        .          .       .     .       .       .      siudtl
payouts.*              .       s      .      s        s        s          s       s     .       s       .      siudtl
marts.*                s       siudtl .      s        s        s          s       s     .       s       .      s
seeds.*                .       siudtl .      s        s        s          s       s     .       .       .      s
staging.*              .       siudtl .      s        s        s          s       s     .       .       .      s
intermediate.*         .       siudtl .      s        s        s          s       s     .       .       .      s
"""  # noqa: E501

# Who may call a function of schema payouts.
FUNCTIONS = """
function                 analyst dbt loader operator approver reconciler billing admin webhook auditor seller
start_run                .       .   .      x        .        .          .       x     .       .       .
end_run                  .       .   .      x        .        .          .       x     .       .       .
freeze                   .       .   .      x        .        .          .       x     .       .       .
hold                     .       .   .      x        .        .          .       x     .       .       .
release                  .       .   .      x        .        .          .       x     .       .       .
clear                    .       .   .      x        .        .          .       x     .       .       .
approve                  .       .   .      .        x        .          .       x     .       .       .
order_resend             .       .   .      .        x        .          .       x     .       .       .
claim_batch              .       .   .      x        .        .          .       x     .       .       .
retry_batch              .       .   .      x        .        .          .       x     .       .       .
beat                     .       .   .      x        .        .          .       x     .       .       .
end_attempts             .       .   .      x        .        .          .       x     .       .       .
take_receipt             .       .   .      x        .        .          .       x     .       .       .
take_refusal             .       .   .      x        .        .          .       x     .       .       .
confirm                  .       .   .      x        .        .          .       x     .       .       .
apply_events             .       .   .      x        .        .          .       x     x       .       .
receive_event            .       .   .      .        .        .          .       .     x       .       .
first_broken_audit_entry .       .   .      .        .        .          .       x     .       x       .
recheck                  .       .   .      x        x        x          x       x     .       x       .
enrol                    .       .   .      x        x        x          .       x     .       .       .
present_code             .       .   .      x        x        x          .       x     .       .       .
reset_second_factor      .       .   .      .        .        .          .       x     .       .       .
require_otp              .       .   .      .        .        .          .       x     .       .       .
store_document           .       .   .      x        .        x          .       x     .       .       .
propose_adjustment       .       .   .      x        .        .          .       x     .       .       .
propose_from             .       .   .      x        .        .          .       x     .       .       .
apply_adjustment         .       .   .      x        .        .          .       x     .       .       .
deviate                  .       .   .      x        .        .          .       x     .       .       .
cancel_adjustment        .       .   .      x        .        .          .       x     .       .       .
settle_adjustment        .       .   .      x        .        .          .       x     .       .       .
decide_exceptions        .       .   .      .        x        .          .       x     .       .       .
execute_payout           .       .   .      x        .        .          .       x     .       .       .
replace_proof            .       .   .      x        .        x          .       x     .       .       .
resolve_payout           .       .   .      .        .        x          .       x     .       .       .
reverse_payout           .       .   .      .        .        x          .       x     .       .       .
last_build               x       .   .      x        x        x          x       x     .       .       x
seller_named             x       .   .      x        x        x          .       x     .       .       x
windows_of               x       .   .      x        x        x          x       x     .       .       x
lines_of                 x       .   .      x        x        x          .       x     .       .       x
balances_of              x       .   .      x        x        x          .       x     .       .       x
payouts_of               x       .   .      x        x        x          x       x     .       .       x
adjustments_of           x       .   .      x        x        x          .       x     .       .       x
executions_of            x       .   .      x        x        x          .       x     .       .       x
batch_key                .       .   .      x        x        x          .       x     .       .       .
window_digest            .       x   .      .        .        .          .       .     .       .       .
acting_from              .       .   .      .        .        .          .       .     .       .       .
acting_role              .       .   .      .        .        .          .       .     .       .       .
add_proof                .       .   .      .        .        .          .       .     .       .       .
adjustment_policy        .       .   .      .        .        .          .       .     .       .       .
apply_lines              .       .   .      .        .        .          .       .     .       .       .
audit                    .       .   .      .        .        .          .       .     .       .       .
audit_each               .       .   .      .        .        .          .       .     .       .       .
audit_entry_hash         .       .   .      .        .        .          .       .     .       .       .
audit_hash               .       .   .      .        .        .          .       .     .       .       .
batch_digest             .       .   .      .        .        .          .       .     .       .       .
book_freeze              .       .   .      .        .        .          .       .     .       .       .
book_obligation          .       .   .      .        .        .          .       .     .       .       .
book_return              .       .   .      .        .        .          .       .     .       .       .
conclude                 .       .   .      .        .        .          .       .     .       .       .
cover                    .       .   .      .        .        .          .       .     .       .       .
decide_exception         .       .   .      .        .        .          .       .     .       .       .
freeze_content           .       .   .      .        .        .          .       .     .       .       .
freeze_window            .       .   .      .        .        .          .       .     .       .       .
has_open_exception       .       .   .      .        .        .          .       .     .       .       .
has_rolled               .       .   .      .        .        .          .       .     .       .       .
held_on                  .       .   .      .        .        .          .       .     .       .       .
hmac_sha1                .       .   .      .        .        .          .       .     .       .       .
is_booked                .       .   .      .        .        .          .       .     .       .       .
is_known_execution       .       .   .      .        .        .          .       .     .       .       .
is_obligation_booked     .       .   .      .        .        .          .       .     .       .       .
is_open_exception        .       .   .      .        .        .          .       .     .       .       .
is_step_of_adjustment    .       .   .      .        .        .          .       .     .       .       .
known_amount             .       .   .      .        .        .          .       .     .       .       .
lift                     .       .   .      .        .        .          .       .     .       .       .
lock_adjustment          .       .   .      .        .        .          .       .     .       .       .
lock_audit_chain         .       .   .      .        .        .          .       .     .       .       .
lock_batch               .       .   .      .        .        .          .       .     .       .       .
lock_to_book             .       .   .      .        .        .          .       .     .       .       .
mark_exceptions          .       .   .      .        .        .          .       .     .       .       .
mismatch_of              .       .   .      .        .        .          .       .     .       .       .
move                     .       .   .      .        .        .          .       .     .       .       .
move_each                .       .   .      .        .        .          .       .     .       .       .
move_one                 .       .   .      .        .        .          .       .     .       .       .
book_step                .       .   .      .        .        .          .       .     .       .       .
in_turns                 .       .   .      .        .        .          .       .     .       .       .
reference_of_step        .       .   .      .        .        .          .       .     .       .       .
targets_of               .       .   .      .        .        .          .       .     .       .       .
transfer_name            .       .   .      .        .        .          .       .     .       .       .
left_amount              .       .   .      .        .        .          .       .     .       .       .
newest_word              .       .   .      .        .        .          .       .     .       .       .
reference_again          .       .   .      .        .        .          .       .     .       .       .
one_time_code            .       .   .      .        .        .          .       .     .       .       .
open_batch               .       .   .      .        .        .          .       .     .       .       .
open_exception           .       .   .      .        .        .          .       .     .       .       .
owed                     .       .   .      .        .        .          .       .     .       .       .
record_adjustment        .       .   .      .        .        .          .       .     .       .       .
refuse_other_name        .       .   .      .        .        .          .       .     .       .       .
refuse_other_seller      .       .   .      .        .        .          .       .     .       .       .
renew_batch              .       .   .      .        .        .          .       .     .       .       .
require_second_factor    .       .   .      .        .        .          .       .     .       .       .
restated_difference      .       .   .      .        .        .          .       .     .       .       .
settle                   .       .   .      .        .        .          .       .     .       .       .
sha1                     .       .   .      .        .        .          .       .     .       .       .
signed                   .       .   .      .        .        .          .       .     .       .       .
step                     .       .   .      .        .        .          .       .     .       .       .
unready                  .       .   .      .        .        .          .       .     .       .       .
create_hold              .       .   .      x        .        .          x       x     .       .       .
end_hold                 .       .   .      x        .        .          .       x     .       .       .
release_due_holds        .       .   .      x        .        .          .       x     .       .       .
summarize_raw            .       .   .      x        .        .          .       x     .       .       .
request_payout           .       .   .      x        .        .          .       x     .       .       .
approve_request          .       .   .      .        x        .          .       x     .       .       .
reject_request           .       .   .      x        x        .          .       x     .       .       .
create_schedule          .       .   .      x        .        .          .       x     .       .       .
run_schedules            .       .   .      x        .        .          .       x     .       .       .
trigger_schedule         .       .   .      x        .        .          .       x     .       .       .
cancel_schedule          .       .   .      x        .        .          .       x     .       .       .
group_in_words           .       .   .      .        .        .          .       .     .       .       .
lock_request             .       .   .      .        .        .          .       .     .       .       .
lock_schedule            .       .   .      .        .        .          .       .     .       .       .
note_request             .       .   .      .        .        .          .       .     .       .       .
paid_with                .       .   .      .        .        .          .       .     .       .       .
refuse_unrequestable     .       .   .      .        .        .          .       .     .       .       .
request_obstacles        .       .   .      .        .        .          .       .     .       .       .
requestable              .       .   .      .        .        .          .       .     .       .       .
try_schedule             .       .   .      .        .        .          .       .     .       .       .
note_deliveries          .       .   .      x        .        .          .       x     .       .       .
gather_notifications     .       .   .      x        .        .          .       x     .       .       .
note_notifications       .       .   .      x        .        .          .       x     .       .       .
news                     .       .   .      .        .        .          .       .     .       .       .
next_try                 .       .   .      .        .        .          .       .     .       .       .
payout_told              .       .   .      .        .        .          .       .     .       .       .
adjustment_told          .       .   .      .        .        .          .       .     .       .       .
escrow_hold_told         .       .   .      .        .        .          .       .     .       .       .
request_told             .       .   .      .        .        .          .       .     .       .       .
payout_schedule_told     .       .   .      .        .        .          .       .     .       .       .
"""

# These are what they are for everybody: invoker's rights, no writing.
ONLY_COMPUTE = {"batch_key", "window_digest"}

Matrix = dict[str, dict[str, str]]


def parsed(table: str) -> Matrix:
    """Per line and column what is allowed."""
    head, *lines = (line.split() for line in table.strip().splitlines())
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}


ROLES = list(next(iter(parsed(TABLES).values())))


@dataclass(frozen=True)
class Logins:
    """A database, and a login for each role and for some people with several."""

    owner: Server
    of: dict[str, Server]
    home: Path

    def name(self, who: str) -> str:
        return self.of[who].user

    @contextmanager
    def connected(self, who: str) -> Iterator[Connection[Any]]:
        with open_connection(self.of[who]) as conn:
            yield conn

    def run(self, who: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command, as a person with this login runs it."""
        own = {"DATABASE_URL": self.of[who].url, "WEEKCLOSE_HOME": str(self.home), "WEEKCLOSE_ACTOR": ""}
        return subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=os.environ | own | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def runs(self, who: str, *arguments: object, **environment: str) -> str:
        """As `run`; what it said, once it is seen to have worked."""
        done = self.run(who, *arguments, **environment)
        assert done.returncode == 0, (who, arguments, done.stderr)
        return done.stdout


PEOPLE = {"cron": ("loader", "operator", "dbt"), "olga": ("operator",), "nobody": ()}


@contextmanager
def created_login(where: Server, roles: Sequence[str]) -> Iterator[Server]:
    """A login with a name of its own, dropped in the end."""
    name, password = f"weekclose_test_{uuid4().hex[:12]}", uuid4().hex
    with open_connection(where) as admin:
        admin.execute(
            sql.SQL("create role {} login password {}").format(sql.Identifier(name), sql.Literal(password))
        )
        for role in roles:
            admin.execute(
                sql.SQL("grant {} to {}").format(sql.Identifier(f"weekclose_{role}"), sql.Identifier(name))
            )
    try:
        yield replace(where, user=name, password=password)
    finally:
        with open_connection(where) as admin:
            admin.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@contextmanager
def created_logins(where: Server, home: Path) -> Iterator[Logins]:
    wanted = {role: (role,) for role in ROLES} | PEOPLE
    with ExitStack() as stack:
        logins = {who: stack.enter_context(created_login(where, roles)) for who, roles in wanted.items()}
        yield Logins(where, logins, home)


@pytest.fixture(scope="module", params=["first server", "second server"])
def sunday(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logins]:
    """A small marketplace that `cron` has loaded and closed."""
    create = request.getfixturevalue(
        "new_database" if request.param == "first server" else "second_new_database"
    )
    files, home = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("home")
    _write(files)
    with create() as where, created_logins(where, home) as logins:
        logins.runs("cron", "load", files)
        assert "unchanged" in logins.runs("loader", "load", files)
        logins.runs("cron", "sunday", "--as-of", NIGHT.isoformat(), "--vars", SETTINGS)
        # Twice: what the first build has granted and replaced, the second one finds.
        cron = logins.of["cron"]
        again = Warehouse(Settings(WEEKCLOSE_HOME=home), cron)
        report = run_sunday(
            cron, again, as_of=NIGHT, actor=cron.user, overrides=json.loads(SETTINGS), may_freeze=False
        )
        assert report.outcome == "not_frozen"
        with open_connection(where) as admin:
            admin.execute("insert into payouts.seller_logins values (%s, 's1')", [logins.name("seller")])
        yield logins


SETTINGS = '{"settlement_start": "2026-11-01"}'
WALLET = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"


def _write(files: Path) -> None:
    (files / "sellers.csv").write_text(
        "seller_id,region,settlement_currency,status,created_at,wallet_address\n"
        f"s1,APAC,USD,active,2026-01-01T00:00:00Z,{WALLET}\n"
        f"s2,APAC,USD,active,2026-01-01T00:00:00Z,{WALLET}\n"
    )
    (files / "orders.csv").write_text(
        "order_id,seller_id,currency,gross_amount,fee_amount,status,captured_at\n"
        "o1,s1,USD,100,10,fulfilled,2026-11-02T10:00:00Z\n"
        "o2,s2,USD,50,5,fulfilled,2026-11-07T23:59:00Z\n"
        "o3,s1,USD,100,10,fulfilled,2026-11-15T10:00:00Z\n"
    )


def sqlstate(conn: Connection[Any], query: str | sql.Composed, values: Sequence[object] = ()) -> str:
    """What the database says to a statement that changes nothing, because it is taken back."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(query, values)
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return ""


def relations(conn: Connection[Any]) -> list[tuple[str, str, bool]]:
    """Each relation, a column that an update can name, and whether it is a view."""
    return conn.execute(
        """
        select
            nspname || '.' || relname,
            coalesce(
                (
                    select quote_ident(min(attname))
                    from pg_attribute
                    where attrelid = pg_class.oid and attnum > 0 and not attisdropped and attidentity = ''
                ), ''
            ),
            relkind = 'v'
        from pg_class
        inner join pg_namespace on relnamespace = pg_namespace.oid
        where
            (
                nspname in ('raw', 'payouts', 'seeds', 'staging', 'intermediate', 'marts')
                and relkind in ('r', 'v')
            )
            or (nspname, relname) = ('public', 'weekclose_migrations')
        order by 1
        """
    ).fetchall()


def attempts(relation: str, column: str, is_view: bool) -> dict[str, str]:
    """For each letter a statement that needs just that right."""
    tried = {"s": f"select * from {relation} limit 0"}
    if is_view:
        return tried
    if column:
        tried["i"] = f"insert into {relation} ({column}) values (default)"
        tried["u"] = f"update {relation} set {column} = null where false"
    return tried | {
        "d": f"delete from {relation} where false",
        "t": f"truncate {relation}",
        "l": f"lock table {relation} in share row exclusive mode",
    }


@pytest.mark.parametrize("role", ROLES)
def test_tables(sunday: Logins, role: str) -> None:
    matrix = parsed(TABLES)
    with open_connection(sunday.owner) as conn:
        found = relations(conn)
    assert len(found) > 50, "the marts are there"
    wrong = []
    with sunday.connected(role) as conn:
        for relation, column, is_view in found:
            line = next(pattern for pattern in matrix if fnmatch(relation, pattern))
            allowed = matrix[line][role]
            # Who may update may lock.
            allowed += "l" if "u" in allowed else ""
            for letter, query in attempts(relation, column, is_view).items():
                said = sqlstate(conn, query)
                if (said != REFUSED) != (letter in allowed):
                    wrong.append((query, said, "allowed" if letter in allowed else "refused"))
    assert wrong == []


def functions(conn: Connection[Any]) -> dict[str, tuple[str, bool, str]]:
    """Each function that is no trigger: a call of it, whether it runs as its owner, its search path."""
    rows = conn.execute(
        """
        select
            proname,
            'select payouts.' || proname || '(' || coalesce(
                (
                    select string_agg('null::' || format_type(type, null), ', ' order by position)
                    from unnest(proargtypes) with ordinality as arguments (type, position)
                ), ''
            ) || ')',
            prosecdef,
            coalesce(array_to_string(proconfig, ' '), '')
        from pg_proc
        where pronamespace = 'payouts'::regnamespace and prorettype <> 'trigger'::regtype
        """
    )
    return {name: (call, as_owner, settings) for name, call, as_owner, settings in rows}


@pytest.mark.parametrize("role", [role for role in ROLES if role != "owner"])
def test_functions(sunday: Logins, role: str) -> None:
    matrix = parsed(FUNCTIONS)
    with open_connection(sunday.owner) as conn:
        found = functions(conn)
    assert sorted(found) == sorted(matrix)
    wrong = []
    with sunday.connected(role) as conn:
        for name, (call, as_owner, settings) in found.items():
            said = sqlstate(conn, call)
            if (said != REFUSED) != (matrix[name][role] == "x"):
                wrong.append((call, said))
            is_door = "x" in matrix[name].values() and name not in ONLY_COMPUTE
            assert as_owner == is_door, name
            assert not is_door or "search_path=pg_catalog, pg_temp" in settings, name
    assert wrong == []


def test_everything_has_the_owner_it_should_have(sunday: Logins) -> None:
    with open_connection(sunday.owner) as conn:
        astray = conn.execute(
            """
            select found.schema, found.name, pg_get_userbyid(found.owner)
            from (
                select relnamespace::regnamespace::text as schema, relname as name, relowner as owner
                from pg_class
                union all
                select pronamespace::regnamespace::text, proname, proowner from pg_proc
                union all
                select nspname, '', nspowner from pg_namespace
            ) as found
            where
                pg_get_userbyid(found.owner) <> case
                    when found.schema in ('raw', 'payouts') then 'weekclose_owner'
                    when found.schema in ('seeds', 'staging', 'intermediate', 'marts') then 'weekclose_dbt'
                    else pg_get_userbyid(found.owner)
                end
            """
        ).fetchall()
        assert astray == []
        assert one(
            conn, "select bool_and(not rolcanlogin) from pg_roles where rolname ~ '^weekclose_[a-z]+$'"
        )


def test_what_fires_at_commit_runs_as_the_owner(sunday: Logins) -> None:
    with open_connection(sunday.owner) as conn:
        late = conn.execute(
            """
            select proname, prosecdef
            from pg_trigger
            inner join pg_proc on tgfoid = pg_proc.oid
            where tgdeferrable and not tgisinternal
            """
        ).fetchall()
    assert {name for name, _ in late} == {
        "refuse_empty_transaction",
        "refuse_unbooked",
        "refuse_unbooked_adjustment",
        "refuse_unproved",
        "refuse_unreversed",
    }
    assert all(as_owner for _, as_owner in late)


def test_a_webhook_does_not_read_events_back(sunday: Logins) -> None:
    with sunday.connected("webhook") as conn:
        assert sqlstate(conn, "select event_id, verdict from payouts.inbox") == ""
        assert sqlstate(conn, "select outcome from payouts.event_outcomes") == ""
        for column in ("body", "amount", "status", "payout_number", "outcome"):
            assert sqlstate(conn, f"select {column} from payouts.inbox") == REFUSED


def test_a_seller_sees_himself_alone(sunday: Logins) -> None:
    own = sunday.runs("seller", "statement", "s1", "2026-11-01", "--json")
    assert own == sunday.runs("olga", "statement", "s1", "2026-11-01", "--json")
    assert '"90.00"' in own
    for seller in ("s2", "unheard-of"):
        other = sunday.run("seller", "statement", seller, "2026-11-01")
        assert (other.returncode, other.stdout) == (3, "")
        assert other.stderr == (f"weekclose: the login {sunday.name('seller')} may not see seller {seller}\n")
    calls = ("windows_of(%s)", "balances_of(%s)", "payouts_of(%s)", "seller_named(%s)")
    # These do not say whose they are.
    more_calls = ("adjustments_of(%s)", "executions_of(%s)")
    with sunday.connected("seller") as conn:
        for call in calls:
            rows = conn.execute(f"select distinct seller_id from payouts.{call}", ["s1"])
            assert rows.fetchall() == [("s1",)], call
        for call in (*calls, *more_calls):
            assert sqlstate(conn, f"select * from payouts.{call}", ["s1"]) == ""
            assert sqlstate(conn, f"select * from payouts.{call}", ["s2"]) == "WC003"
        lines = conn.execute("select line_id from payouts.lines_of('s1', '2026-11-01')").fetchall()
        assert lines == [("sale:o1",)]
        assert sqlstate(conn, "select * from payouts.lines_of('s2', '2026-11-01')") == "WC003"
        conn.execute("set search_path = pg_temp")
        conn.execute(
            "create temporary table seller_logins as select session_user::text as login, 's2' as seller_id"
        )
        assert sqlstate(conn, "select * from payouts.windows_of('s2')") == "WC003"
    with open_connection(sunday.owner) as admin, admin.transaction(force_rollback=True):
        admin.execute("delete from payouts.seller_logins")
        assert sqlstate(admin, "select * from payouts.windows_of('s1')") == "", "who owns the tables sees all"


def test_a_login_without_roles_has_no_rights(sunday: Logins) -> None:
    with sunday.connected("nobody") as conn:
        for query in (
            "select * from raw.orders",
            "select * from payouts.payouts",
            "select * from marts.settlement_windows",
            "select * from payouts.windows_of('s1')",
            "select content from payouts.documents",
            "select payouts.hold('2026-11-01', 's1', 'why', session_user)",
            "select payouts.enrol(session_user::text)",
            "create table marts.mine ()",
            "create table payouts.mine ()",
        ):
            assert sqlstate(conn, query) == REFUSED, query
    said = sunday.run("nobody", "status").stderr
    assert said.startswith("weekclose: permission denied"), said
    assert len(said.splitlines()) == 1


def test_what_a_build_left_is_readable_without_asking_again(sunday: Logins) -> None:
    exported = sunday.runs("analyst", "export", "2026-11-01")
    assert exported == sunday.runs("operator", "export", "2026-11-01")
    assert "s1,2026-11-01,100.00" in exported
    for who in ("operator", "approver", "reconciler", "admin"):
        assert "2026-11-01" in sunday.runs(who, "status")
        assert "90.00" in sunday.runs(who, "explain", "s1", "2026-11-01")
    assert sunday.run("analyst", "status").returncode == 3


# What the database knows of them so far.
ADJ = "(select max(adjustment_number) from payouts.adjustments where class = '{}')"
FEE, DEDUCTION = ADJ.format("gross_invoice_fee"), ADJ.format("carry_forward_deduction")
PDF = "decode('255044462d{}', 'hex')"
NEWEST = "(select sha256 from payouts.documents order by stored_at desc limit 1)"

# Each with the actor last; what comes before it has to be so that only the name is wrong.
ACTS: list[tuple[str, str, str]] = [
    ("operator", "select payouts.start_run(gen_random_uuid(), now(), {actor}, '{{}}')", ""),
    ("operator", "select payouts.hold('{window}', 's1', 'why', {actor})", ""),
    ("operator", "select payouts.release('{window}', 's1', 'why', {actor})", ""),
    ("operator", "select payouts.clear('s1', 'why', {actor})", ""),
    ("approver", "select payouts.approve('{window}', {digest}, {actor})", ""),
    ("operator", "select payouts.claim_batch('W{window}-G1', {digest}, 'batch', '{{}}', {actor})", ""),
    (
        "operator",
        "select payouts.retry_batch('W{window}-G1', (select max(attempt_id) from payouts.submit_attempts),"
        " {actor})",
        "",
    ),
    ("approver", "select payouts.order_resend('W{window}', {digest}, {actor})", ""),
    ("operator", "select payouts.take_refusal('W{window}-G1', '{{}}', {actor})", "taken back"),
    ("operator", "select payouts.take_receipt('W{window}-G1', 'r', {actor})", ""),
    (
        "webhook",
        "select payouts.apply_events(array[payouts.receive_event('batch', 'evt', 'payout.completed',"
        " 'completed', 'JPO0000001', 10, 'USD', 'TX', null, null, now(), true, '')], {actor})",
        "taken back",
    ),
    (
        "operator",
        "select payouts.confirm('W{window}-G1', now(), jsonb_build_array(jsonb_build_object('reference',"
        " 'JPO0000001', 'status', 'completed', 'final', true, 'amount', 10), jsonb_build_object('reference',"
        " 'JPO0000002', 'status', 'completed', 'final', true, 'amount', 19)), {actor})",
        "",
    ),
    (
        "operator",
        "select payouts.propose_adjustment('s1', 'USD', 'gross_invoice_fee', 1, 'why', '', 'INV-1', null,"
        " null, {actor})",
        "",
    ),
    (
        "operator",
        "select payouts.propose_adjustment('s1', 'USD', 'carry_forward_deduction', 1, 'why', 'so', null,"
        " null, null, {actor})",
        "",
    ),
    ("operator", "select payouts.propose_from('sale:s1-{window}', 'why', 'so', null, {actor})", "taken back"),
    ("olga", f"select payouts.apply_adjustment({FEE}, 's1', 'USD', {{actor}})", ""),
    ("operator", f"select payouts.settle_adjustment({FEE}, 'BANK-1', null, {{actor}})", ""),
    ("operator", f"select payouts.cancel_adjustment({DEDUCTION}, 'why', {{actor}})", "taken back"),
    (
        "operator",
        f"select payouts.deviate({DEDUCTION}, 'skip', null, null, null, 'why', {{actor}})",
        "",
    ),
    (
        "approver",
        "select payouts.decide_exceptions(array[(select max(exception_id) from payouts.exceptions)],"
        " 'approved', 'why', {actor})",
        "",
    ),
    (
        "operator",
        f"select payouts.store_document({PDF.format('31')}, 'application/pdf', {{actor}})",
        "",
    ),
    (
        "operator",
        f"select payouts.execute_payout('JPO0000002', 'BANK-2', 18, null, {NEWEST}, 'less', {{actor}})",
        "",
    ),
    (
        "reconciler",
        f"select payouts.store_document({PDF.format('32')}, 'application/pdf', {{actor}})",
        "",
    ),
    ("reconciler", f"select payouts.replace_proof('JPO0000002', {NEWEST}, 'clearer', {{actor}})", ""),
    ("reconciler", "select payouts.resolve_payout('JPO0000002', 'accept', 'why', null, {actor})", ""),
    (
        "reconciler",
        "select payouts.reverse_payout('JPO0000001', 'duplicate_payment', 'why', null, {actor})",
        "",
    ),
    (
        "billing",
        "select payouts.create_hold('s1', 'USD', 1, 'other', 'why', null, null, null, {actor})",
        "",
    ),
    (
        "operator",
        "select payouts.end_hold((select max(hold_number) from payouts.escrow_holds), 'released', 'why',"
        " {actor})",
        "",
    ),
    ("operator", "select payouts.release_due_holds(now(), {actor})", ""),
    ("operator", "select payouts.request_payout('s1', 'USD', 1, 'why', {actor})", ""),
    ("approver", "select payouts.approve_request('REQ0000001', {actor})", "taken back"),
    ("approver", "select payouts.reject_request('REQ0000001', 'why', {actor})", ""),
    (
        "operator",
        "select payouts.create_schedule('s1', 'USD', 1, 'manual', null, null, 'why', {actor})",
        "",
    ),
    ("operator", "select payouts.trigger_schedule('SCH0000001', {actor})", "taken back"),
    ("operator", "select payouts.run_schedules(now(), {actor})", ""),
    ("operator", "select payouts.cancel_schedule('SCH0000001', 'why', {actor})", ""),
    ("olga", "select payouts.enrol({actor})", ""),
    ("olga", "select payouts.present_code({actor}, '000000')", ""),
    ("admin", "select payouts.reset_second_factor('{olga}', 'why', {actor})", ""),
    ("admin", "select payouts.require_otp(true, 'why', {actor})", ""),
]


def test_a_login_acts_under_its_own_name(any_database: Server, tmp_path: Path) -> None:
    with open_connection(any_database) as admin, created_logins(any_database, tmp_path) as logins:
        frozen_window(admin, ["10.00", "20.00"])
        _build_what_is_read(admin)
        for role, act, undone in ACTS:
            digest = one(admin, "select content_digest from payouts.batches")
            known = {"window": WINDOW, "digest": f"'{digest}'", "olga": logins.name("olga")}
            with logins.connected(role) as conn:
                for actor in ("somebody", logins.name("analyst"), "webhook", ""):
                    query = act.format(**known, actor=f"'{actor}'")
                    assert sqlstate(conn, query) == "WC003", query
                with conn.transaction(force_rollback=bool(undone)):
                    conn.execute(act.format(**known, actor="session_user::text"))
        assert one(admin, "select array_agg(status order by payout_number) from payouts.payouts") == [
            "reversed",
            "paid",
        ]
        names = admin.execute(
            "select distinct actor from payouts.audit_log where action <> 'freeze'"
        ).fetchall()
        deciders = ("operator", "olga", "approver", "reconciler", "billing", "admin")
        assert {name for (name,) in names} == {logins.name(who) for who in deciders}
        assert one(admin, "select payouts.first_broken_audit_entry()") is None
        acted = {re.findall(r"payouts\.(\w+)\(", act)[0] for _, act, _ in ACTS}
        # A freeze is a part of a run, and who that is was asked when it began.
        assert acted == _doors_with_an_actor(admin) - {"freeze"}


def _build_what_is_read(conn: Connection[Any]) -> None:
    """The seeds, the sellers, the orders, and a raw row that has changed since its line was frozen."""
    seeded(conn)
    conn.execute(
        "set role weekclose_dbt;"
        " create view staging.stg_orders as select * from raw.orders;"
        " create view intermediate.int_order_events as select line_id, kind, source_amount,"
        " source_amount + 1 as restated_amount from payouts.frozen_lines;"
        # A floor below zero, so that there is something to ask for.
        " create view intermediate.int_seller_terms as select seller_id, settlement_currency,"
        " 'TRC-20' as rail, wallet_address as destination, true as is_active, true as is_wallet_valid,"
        " false as is_wallet_recently_changed, false as needs_review, -100.00 as minimum_balance"
        " from raw.sellers;"
        " create view intermediate.int_builds as select now() as as_of;"
        " create view intermediate.int_guarantee_holds as select seller_id, currency, amount"
        " from payouts.escrow_holds where false;"
        " reset role"
    )


def _doors_with_an_actor(conn: Connection[Any]) -> set[str]:
    """What somebody may call, and says who he is."""
    doors = {name for name, line in parsed(FUNCTIONS).items() if "x" in line.values()}
    rows = conn.execute(
        "select proname from pg_proc"
        " where pronamespace = 'payouts'::regnamespace and 'actor' = any(proargnames)"
    )
    return doors & {name for (name,) in rows}


@pytest.mark.parametrize("roles", [("operator", "approver", "webhook"), ("admin",)])
def test_two_eyes_are_not_four(any_database: Server, roles: Sequence[str]) -> None:
    """Who holds both roles still does not approve what he has held, whatever he calls himself."""
    with (
        open_connection(any_database) as admin,
        created_login(any_database, roles) as both,
        open_connection(both) as conn,
    ):
        frozen_window(admin, ["10.00", "20.00"])
        seeded(admin)
        conn.execute("select payouts.hold(%s, 's2', 'why', session_user::text)", [WINDOW])
        digest = one(conn, "select content_digest from payouts.batches")
        for actor in (both.user, "anna", "webhook"):
            said = sqlstate(conn, "select payouts.approve(%s, %s, %s)", (WINDOW, digest, actor))
            assert said == "WC003", actor
        # A role that he takes on is not another person.
        conn.execute("set role weekclose_approver")
        said = sqlstate(conn, "select payouts.approve(%s, %s, 'weekclose_approver')", (WINDOW, digest))
        assert said == "WC003"
        conn.execute("reset role")
        _wishes_and_decides(conn, both.user)


def _wishes_and_decides(conn: Connection[Any], name: str) -> None:
    """Nor what he wished for."""
    number = one(
        conn,
        "select payouts.propose_adjustment('s1', 'USD', 'carry_forward_credit', 1, 'why', 'so', null, null,"
        " null, session_user::text)",
    )
    opened = one(
        conn,
        "select payouts.deviate(%s, 'amount', 0.5, null, null, 'why', session_user::text)",
        number,
    )
    for verdict in ("approved", "rejected"):
        for actor in (name, "anna", "webhook"):
            act = "select payouts.decide_exceptions(array[%s], %s, 'why', %s)"
            assert sqlstate(conn, act, (opened, verdict, actor)) == "WC003", actor


def test_monday_and_tuesday(sunday: Logins, tmp_path: Path) -> None:
    """Hold, release, clear, approve, submit, webhook, reconcile, verify: each by the one who may."""
    window = "2026-11-01"
    sunday.runs("olga", "hold", "s1", "--window", window, "--reason", "a look")
    lied = sunday.run("olga", "release", "s1", "--window", window, "--reason", "fine", "--by", "rosa")
    assert (lied.returncode, lied.stderr) == (
        3,
        f"weekclose: the login {sunday.name('olga')} cannot act as rosa:"
        " leave out --by and WEEKCLOSE_ACTOR\n",
    )
    sunday.runs("olga", "release", "s1", "--window", window, "--reason", "fine")
    sunday.runs("olga", "clear", "s2", "--reason", "known")
    digest = re.search(r'"content_digest": "(\w+)"', sunday.runs("approver", "status", window, "--json"))
    assert digest is not None
    assert sunday.run("olga", "approve", window, "--digest", digest[1]).returncode == 3
    sunday.runs("approver", "approve", window, "--digest", digest[1])
    with bench("batch", tmp_path) as rail:
        _tuesday(sunday, rail, window)
    assert "entries, all as written" in sunday.run("auditor", "audit", "verify").stderr
    with open_connection(sunday.owner) as conn:
        actors = dict(
            conn.execute("select action, actor from payouts.audit_log order by entry_id").fetchall()
        )
        assert actors == {
            "freeze": sunday.name("cron"),
            "hold": sunday.name("olga"),
            "release": sunday.name("olga"),
            "clear": sunday.name("olga"),
            "approve": sunday.name("approver"),
            "submit": sunday.name("olga"),
            "receipt": sunday.name("olga"),
            "paid": sunday.name("olga"),
            "settle": sunday.name("olga"),
        }
        assert one(conn, "select array_agg(distinct status) from payouts.payouts") == ["paid"]
    _wednesday(sunday, tmp_path)


def _tuesday(sunday: Logins, rail: Bench, window: str) -> None:
    environment = {
        "WEEKCLOSE_RAIL": "batch",
        "WEEKCLOSE_RAIL_URL": rail.simulator.rail_url("batch"),
        "WEEKCLOSE_RAIL_KEY": KEY,
        "WEEKCLOSE_LOOPBACK_RAIL": "1",
    }
    assert sunday.run("approver", "submit", window, **environment).returncode == 3
    assert '"items"' in sunday.runs("olga", "submit", window, "--dry-run", **environment)
    sunday.runs("olga", "submit", window, **environment)
    rail.rail.settle({"*": "completed"}, webhooks="lose")
    event = RailEvent(
        "evt-1",
        "payout.completed",
        "completed",
        "JPO0000001",
        Decimal("90.00"),
        "USD",
        "TX-1",
        None,
        None,
        None,
    )
    with sunday.connected("webhook") as conn:
        known = events.receive(conn, rail.adapter(), event, b"{}")
        assert events.receive(conn, rail.adapter(), event, b"{}") is None
        assert events.waiting_count(conn) == 1
        applied = events.apply(conn, None, sunday.name("webhook"))
        assert [(each.event_id, each.verdict) for each in applied] == [(known, "book")]
    sunday.runs("olga", "reconcile", **environment)


def _wednesday(sunday: Logins, files: Path) -> None:
    """What was wrong with it is put right: each step by the one who may, after one who may not has tried."""
    proof = files / "proof.pdf"
    proof.write_bytes(pdf("evidence"))

    def step(who: str, not_who: str, *arguments: object) -> str:
        refused = sunday.run(not_who, *arguments)
        assert refused.returncode == 3, (not_who, arguments, refused.stderr)
        assert refused.stderr.startswith("weekclose: permission denied for function"), refused.stderr
        return sunday.runs(who, *arguments).strip()

    late_fee = (
        *("adjust", "propose", "s1", "--class", "carry_forward_deduction", "--currency", "USD"),
        *("--amount", "5", "--reason", "late fee", "--note", "as agreed"),
    )
    number = step("olga", "approver", *late_fee)
    step("olga", "reconciler", "adjust", "apply", number, "--skip", "--reason", "paid by hand")
    wishes = json.loads(sunday.runs("approver", "exception", "list", "--json"))
    step("approver", "olga", "exception", "approve", wishes[0]["exception_id"], "--reason", "seen")
    reversal = (
        *("reverse", "JPO0000001", "--reason", "wrong_beneficiary", "--note", "another's wallet"),
        *("--evidence", proof),
    )
    step("reconciler", "olga", *reversal)
    execution = ("execute", "JPO0000002", "--reference", "R", "--amount", "45", "--proof", proof)
    assert sunday.run("approver", *execution).returncode == 3
    assert sunday.run("olga", *execution).returncode == 5, "it is paid"
    for who in ("olga", "approver", "reconciler", "auditor", "admin"):
        listed = json.loads(sunday.runs(who, "adjust", "list", "--json"))
        assert [(each["source"], each["status"]) for each in listed] == [
            ("manual", "cancelled"),
            ("reversal", "approved"),
        ]
    for who in ("analyst", "loader", "nobody"):
        assert sunday.run(who, "adjust", "list").returncode == 3


def test_what_a_later_migration_makes_belongs_where_it_should(any_database: Server, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(project_dir() / "migrations", tmp_path / "migrations"))
    (directory / "9999_later.sql").write_text(
        "set local role weekclose_owner;\n"
        "create table payouts.later (id integer);\n"
        "create function payouts.later() returns integer language sql as 'select 1';\n"
    )
    with open_connection(any_database) as conn, created_logins(any_database, tmp_path) as logins:
        assert migrate(conn, directory) == ["9999_later.sql"]
        owner = "select tableowner from pg_tables where tablename = 'later'"
        assert one(conn, owner) == "weekclose_owner"
        with logins.connected("auditor") as auditor:
            assert sqlstate(auditor, "select * from payouts.later") == ""
            assert sqlstate(auditor, "insert into payouts.later values (1)") == REFUSED
            assert sqlstate(auditor, "select payouts.later()") == REFUSED


@pytest.mark.parametrize("is_second", [False, True], ids=["embedded", "second"])
def test_migrating_without_being_superuser(
    request: pytest.FixtureRequest, home: Path, is_second: bool
) -> None:
    """On a cluster that knows nothing of us, by the login that owns the database."""
    if is_second and debian_bin_dir() is None:
        pytest.skip("no second PostgreSQL")
    where = EmbeddedPostgres(home, debian_bin_dir() if is_second else None).start()
    ours = project_dir() / "migrations"
    with open_connection(where) as admin:
        for name, options in (("plain", "login"), ("maker", "login createrole"), ("second", "login")):
            admin.execute(f"create role {name} {options} password 'x'")
            admin.execute(f"create database of_{name} owner {name}")

        def as_login(name: str) -> Connection[Any]:
            return open_connection(replace(where, user=name, password="x", dbname=f"of_{name}"))

        with (
            as_login("plain") as conn,
            pytest.raises(
                Exception,
                match="login plain may not create the role weekclose_owner: migrate as",
            ),
        ):
            migrate(conn, ours)
        with as_login("maker") as conn:
            assert len(migrate(conn, ours)) == len(list(ours.glob("*.sql")))
            assert migrate(conn, ours) == []
            conn.execute("set role weekclose_dbt")
            conn.execute("create schema dbt_of_a_developer")
        # The roles are there, but are not his.
        with as_login("second") as conn:
            with pytest.raises(
                Exception, match="login second is not in weekclose_owner: let a superuser grant it"
            ):
                migrate(conn, ours)
            admin.execute("grant weekclose_owner, weekclose_dbt to second")
            migrate(conn, ours)
            conn.execute("reset role")
            assert one(conn, "select count(*) from payouts.payouts") == 0
