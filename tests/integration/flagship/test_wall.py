"""Row-level security: no table is forgotten, and what it lets through (P24, ADR 0015)."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from django.apps import apps
from psycopg import sql

from jobs.ids import parse_public_id
from jobs.models.tenant import TenantManager
from tests.factories import make_hold
from tests.integration.flagship.isolation import Tenant, make_tenant

# Tables without a wall, and why nobody's rows are in them.
PLATFORM = {
    **{
        table: "operators of the console, and what they may do"
        for table in (
            *("auth_user", "auth_group", "auth_permission", "auth_user_groups"),
            *("auth_group_permissions", "auth_user_user_permissions", "django_session"),
            *("django_admin_log", "django_content_type"),
        )
    },
    "django_migrations": "what was migrated",
    "flagship_loginlimit": "who tried to log in to the console",
    "jobs_schedule": "when the platform's own jobs are due",
    "jobs_schedulerun": "what became of each period",
    "jobs_redrive": "what operators decided about dead letters of all organizations",
    **{
        table: "causes of death over all organizations, for operators"
        for table in ("jobs_failuregroup", "jobs_failurehour", "jobs_failuredelta")
    },
    "jobs_queuepause": "queues are the platform's; each name is public",
    "jobs_workerheartbeat": "processes of the platform",
    "credits_package": "what is for sale, the same for all",
    "credits_statement": "sums over all accounts",
    "builds_rolledday": "which days were rolled up",
    "builds_segmentday": "sums over segments of organizations, for operators' keys",
    "drills_effect": "of the test suite",
}
# What the routes write that exist only to be called by tests.
EFFECTS = {"drills_effect"}
# Foreign keys between rows of organizations that do not carry whose they are, and what does.
CARRIED_OTHERWISE = {
    "builds_build": {
        "build_max_active_of_project": "the project, by build_project_of_organization",
        "build_rebuild_of_project": "the project",
        "build_superseded_by_of_project": "the project",
        "reservation_id": "trigger build_reservation_is_its_own",
    },
    "builds_project": {"project_live_build_of_project": "the project"},
    "jobs_failedjob": {"job_id": "trigger failed_job_of_its_organization"},
    "credits_account": {"credits_account_last_entry": "the account itself"},
    "credits_reservation": {"renews_id": "trigger credits_reservation_renews_expired"},
}


def walled(connection: Any) -> set[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND relrowsecurity"
    )
    return {name for (name,) in rows}


def test_table__every_one__has_a_wall_or_a_reason_for_none(owner_db: Any) -> None:
    # P24: a new table fails here until it has its policies, or a line above.
    rows = owner_db.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p')"
    )
    tables = {name for (name,) in rows}

    assert tables - walled(owner_db) == PLATFORM.keys()
    with_organization = owner_db.execute(
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = 'organization_id'"
    )
    assert {name for (name,) in with_organization} <= walled(owner_db)


def test_wall__of_each_table__is_the_two_policies_and_no_more(owner_db: Any) -> None:
    # P24
    rows = owner_db.execute(
        "SELECT tablename, policyname, permissive, roles, cmd, qual, with_check FROM pg_policies"
        " WHERE schemaname = 'public'"
    ).fetchall()
    found = {(table, name): rest for table, name, *rest in rows}

    assert {table for table, _ in found} == walled(owner_db)
    for table in walled(owner_db):
        assert found.pop((table, "platform")) == [
            *("PERMISSIVE", ["flagship_app"], "ALL", "true", None)
        ], table
        permissive, roles, command, condition, check = found.pop((table, "tenant"))
        assert (permissive, roles, command, check) == ("PERMISSIVE", ["public"], "ALL", None), table
        assert "flagship.organization" in condition or "EXISTS" in condition, table
    assert found == {}


def test_wall__raised_on_tables_in_use__leaves_nobody_out_and_lets_no_tenant_through(
    owner_db: Any, servers: Any, processes: Any
) -> None:
    # P24: an upgrade under a running system, before the roles are granted anew.
    policies = "SELECT * FROM pg_policies WHERE tablename LIKE 'builds_%' ORDER BY 1, 2, 3"
    before = owner_db.execute(policies).fetchall()
    assert len(before) == 20

    for target in (["builds", "0008"], ["builds"]):
        command = processes.start(
            "migrate", *target, "--verbosity=0", env={"DATABASE_URL": servers.owner_url()}
        )
        assert command.wait() == 0, command.output()
        left = owner_db.execute(policies).fetchall()
        assert left == ([] if len(target) == 2 else before)


def test_model__with_the_tenants_manager__is_one_whose_table_has_a_wall(owner_db: Any) -> None:
    # P24: both walls stand around the same tables.
    models = {
        model._meta.db_table
        for model in apps.get_models()
        if isinstance(model._meta.default_manager, TenantManager)
    }

    assert models == walled(owner_db)


def test_foreign_key__between_rows_of_organizations__cannot_cross(owner_db: Any) -> None:
    # P24: the organization (or the account) is a part of the key, or something else sees to it.
    rows = owner_db.execute(
        """
        SELECT child.relname, conname, array_agg(attname::text ORDER BY attname),
               (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = child.oid
                   AND attname IN ('organization_id', 'account_id'))
          FROM pg_constraint
          JOIN pg_class AS child ON child.oid = conrelid
          JOIN pg_class AS parent ON parent.oid = confrelid
          JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
         WHERE contype = 'f' AND child.relrowsecurity AND parent.relrowsecurity
           AND parent.relname NOT IN ('flagship_organization', 'credits_account')
         GROUP BY 1, 2, child.oid
        """
    ).fetchall()
    crossing = [
        (table, name, columns)
        for table, name, columns, whose in rows
        if whose and not set(whose) & set(columns)
    ]

    assert len(rows) > 15
    unexplained = {
        (table, name)
        for table, name, columns in crossing
        if not {name, *columns} & CARRIED_OTHERWISE.get(table, {}).keys()
    }
    assert unexplained == set()
    assert len(crossing) == sum(map(len, CARRIED_OTHERWISE.values()))


def test_tenant_role__on_every_table__holds_what_the_models_say(owner_db: Any) -> None:
    # P24: what the application may on tables with a wall, to read where a model says so, no more.
    rows = owner_db.execute(
        "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type::text)"
        " FROM information_schema.role_table_grants WHERE grantee = %s GROUP BY 1",
        ["flagship_tenant"],
    ).fetchall()
    of_application = dict(
        owner_db.execute(
            "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type::text)"
            " FROM information_schema.role_table_grants WHERE grantee = %s GROUP BY 1",
            ["flagship_app"],
        ).fetchall()
    )
    read = {
        model._meta.db_table for model in apps.get_models() if getattr(model, "TENANT_READS", False)
    }

    expected = {table: of_application[table] for table in walled(owner_db) | EFFECTS}
    assert dict(rows) == expected | {table: ["SELECT"] for table in read}
    assert read == {
        *("jobs_queuepause", "jobs_workerheartbeat"),
        *("builds_rolledday", "builds_segmentday"),
    }


def test_tenant_role__of_the_owners_functions__calls_four(owner_db: Any) -> None:
    # P24: each of them asks whose it is, or looks at one prefix or one signing key's id.
    rows = owner_db.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        " AND prorettype <> 'trigger'::regtype"
        " AND has_function_privilege('flagship_tenant', oid, 'EXECUTE')"
    )

    assert sorted(name for (name,) in rows) == [
        *("credits_commit_reservation", "credits_release_reservation", "credits_reserve"),
        "flagship_find_caller",
    ]


@pytest.fixture
def tenants(live_db: None) -> tuple[Tenant, Tenant]:
    """Two organizations that have the same."""
    return make_tenant(), make_tenant()


@pytest.fixture
def tenant_db(app_db: Any) -> Any:
    """A connection as the application role that acts as the tenant role, for nobody yet."""
    app_db.execute("SET ROLE flagship_tenant")
    return app_db


def act_for(connection: Any, organization_id: uuid.UUID | None) -> None:
    value = "" if organization_id is None else str(organization_id)
    connection.execute("SELECT set_config('flagship.organization', %s, false)", [value])


def rows_of(connection: Any, table: str) -> list[str]:
    query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))
    return [text for (text,) in connection.execute(query)]


def test_tenant_role__for_nobody__sees_no_row_of_any_table(
    tenants: tuple[Tenant, Tenant], tenant_db: Any, owner_db: Any
) -> None:
    # P24: forgetting to say whose rows are wanted shows none.
    tables = walled(owner_db)
    assert sum(bool(rows_of(owner_db, table)) for table in tables) >= 15

    for organization_id in (None, uuid.UUID(int=0), uuid.uuid4()):
        act_for(tenant_db, organization_id)
        assert {table for table in tables if rows_of(tenant_db, table)} == set()


def test_tenant_role__for_an_organization__sees_its_rows_and_all_of_them(
    tenants: tuple[Tenant, Tenant], tenant_db: Any, owner_db: Any
) -> None:
    # P24
    models = {model._meta.db_table: model for model in apps.get_models()}
    for table in walled(owner_db):
        seen = []
        for tenant in tenants:
            act_for(tenant_db, tenant.organization_id)
            seen.append(rows_of(tenant_db, table))
            mine = models[table].objects.for_organization(tenant.organization_id)  # type: ignore[attr-defined]
            assert len(seen[-1]) == mine.count(), table
        assert set(seen[0]).isdisjoint(seen[1]), table


WRITES = [
    "UPDATE jobs_job SET organization_id = %(stranger)s WHERE id = %(job)s",
    "UPDATE builds_project SET organization_id = %(stranger)s WHERE id = %(project)s",
    "INSERT INTO flagship_auditevent (id, organization_id, action, subject_type, subject_id, actor,"
    " data, request_id, correlation_id) VALUES (gen_random_uuid(), %(stranger)s, 'a.b', 's', 'i',"
    " 'x', '{}', '', '')",
    "INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,"
    " unpacked_bytes, file_count) VALUES (gen_random_uuid(), %(stranger)s, %(foreign_project)s,"
    " repeat('a', 64), 'zip', 1, 1, 1)",
    "INSERT INTO builds_buildlogline (build_id, seq, stream, text)"
    " VALUES (%(foreign_build)s, 9, 'stdout', 'forged')",
    "INSERT INTO jobs_jobattempt (job_id, number, token, worker, started_at)"
    " VALUES (%(foreign_job)s, 1, 1, 'x', now())",
    "INSERT INTO flagship_signingkey (id, api_key_id, slot, sealed_secret)"
    " VALUES (gen_random_uuid(), %(foreign_client)s, 2, '')",
    "INSERT INTO flagship_signaturetally (api_key_id, hour, outcome, count)"
    " VALUES (%(foreign_client)s, date_trunc('hour', now()), 'forged', 1)",
    "SELECT flagship_take_use(1000, decode('01', 'hex'), %(foreign_client)s, 'both', 660)",
    "SELECT flagship_claim_signed_key(decode('02', 'hex'), 1000, decode('01', 'hex'),"
    " %(foreign_client)s, 'both', 660, true)",
]


def parameters(tenants: tuple[Tenant, Tenant]) -> dict[str, Any]:
    """The ids of both, as the database has them."""
    mine, theirs = tenants
    own = {name: parse_public_id(text.partition("_")[0], text) for name, text in mine.names.items()}
    foreign = {
        f"foreign_{name}": parse_public_id(text.partition("_")[0], text)
        for name, text in theirs.names.items()
    }
    return own | foreign | {"own": mine.organization_id, "stranger": theirs.organization_id}


@pytest.mark.parametrize("statement", WRITES)
def test_tenant_role__writing_for_a_stranger__is_refused(
    tenants: tuple[Tenant, Tenant], tenant_db: Any, statement: str
) -> None:
    # P24
    act_for(tenant_db, tenants[0].organization_id)

    with pytest.raises(
        (psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)
    ) as caught:
        tenant_db.execute(statement, parameters(tenants))

    assert "row-level security" in str(caught.value) or "project_facts_fixed" in str(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs_job SET cancel_requested_at = now() WHERE id = %(foreign_job)s",
        "UPDATE builds_build SET cancel_requested_by = 'x' WHERE id = %(foreign_build)s",
        "UPDATE builds_project SET name = 'x' WHERE id = %(foreign_project)s",
        "DELETE FROM jobs_job WHERE id = %(foreign_job)s",
        "SELECT FROM builds_build WHERE id = %(foreign_build)s FOR UPDATE",
        "UPDATE flagship_signaturerollout SET stage = 'either'"
        " WHERE api_key_id = %(foreign_client)s",
        "SELECT sealed_secret FROM flagship_signingkey WHERE id = %(foreign_signing_key)s",
        "DELETE FROM flagship_signatureuse WHERE api_key_id = %(foreign_client)s",
    ],
)
def test_tenant_role__naming_a_strangers_row__finds_none(
    tenants: tuple[Tenant, Tenant], tenant_db: Any, statement: str
) -> None:
    # P24
    act_for(tenant_db, tenants[0].organization_id)

    assert tenant_db.execute(statement, parameters(tenants)).rowcount == 0


def test_caller__looked_up_for_nobody_yet__is_the_one_that_was_named(
    tenants: tuple[Tenant, Tenant], tenant_db: Any
) -> None:
    # P24, E-05: the one look over the wall, before it is known who calls.
    act_for(tenant_db, uuid.UUID(int=0))
    known = parameters(tenants)
    prefix = tenants[0].callers["member"].api_key.prefix

    def found(prefix: str | None, signing_key: Any) -> list[tuple[Any, ...]]:
        rows = tenant_db.execute(
            "SELECT organization_id, api_key_id, stage, signing_key_id, sealed_secret IS NULL"
            " FROM flagship_find_caller(%s::text, %s::uuid)",
            [prefix, signing_key],
        )
        return list(rows)

    own = tenants[0].organization_id
    named = (own, tenants[0].callers["member"].api_key.id, None, None, True)
    signer = (own, known["client"], "observe", known["signing_key"], False)
    assert found(prefix, None) == [named]
    assert found(None, known["signing_key"]) == [signer]
    # Named together, a signing key is looked at only where it is the API key's own.
    assert found(prefix, known["signing_key"]) == [named]
    assert found(prefix, known["foreign_signing_key"]) == [named]
    assert found("0" * 12, known["signing_key"]) == []
    assert found(None, uuid.uuid4()) == found(None, None) == found("%", None) == []


LEDGER = [
    "SELECT credits_reserve(gen_random_uuid(), %(stranger)s, 1::bigint, 'build', 'b', '', 60, '')",
    "SELECT credits_commit_reservation(%(stranger)s, %(foreign_hold)s, 1::bigint, NULL,"
    " gen_random_uuid())",
    "SELECT credits_release_reservation(%(stranger)s, %(foreign_hold)s, 'x')",
]


@pytest.mark.parametrize("statement", LEDGER)
@pytest.mark.parametrize("whose", ["own", "nobody"])
def test_ledger__called_for_a_stranger__has_no_such_account(
    tenants: tuple[Tenant, Tenant], tenant_db: Any, statement: str, whose: str
) -> None:
    # P24: these run as the owner, whom no policy binds.
    own = tenants[0].organization_id if whose == "own" else uuid.UUID(int=0)
    act_for(tenant_db, own)

    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        tenant_db.execute(statement, parameters(tenants))

    assert caught.value.diag.constraint_name == "credits_account_not_found"


def test_ledger__called_for_oneself__works(tenants: tuple[Tenant, Tenant], tenant_db: Any) -> None:
    # P24: the refusals above are for whose the account is.
    act_for(tenant_db, tenants[0].organization_id)

    for statement in LEDGER[:2]:
        own = statement.replace("stranger", "own").replace("foreign_hold", "hold")
        assert tenant_db.execute(own, parameters(tenants)).rowcount == 1


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM auth_user",
        "SELECT FROM django_session",
        "SELECT FROM credits_statement",
        "UPDATE jobs_queuepause SET reason = 'x'",
        "DELETE FROM flagship_auditevent",
        "INSERT INTO credits_entry (account_id, kind) VALUES (gen_random_uuid(), 'open')",
        "SELECT credits_grant(gen_random_uuid(), 1::bigint, '', '', 1::smallint, NULL)",
        "SELECT credits_extend_reservation(gen_random_uuid(), 1, 1)",
        "SELECT credits_lift_freeze(1::bigint, 'x', 'y')",
        "ALTER TABLE jobs_job DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON jobs_job",
        "SET ROLE flagship_owner",
    ],
)
def test_tenant_role__reaching_further__is_refused(tenant_db: Any, statement: str) -> None:
    # P24, P20
    with pytest.raises(
        (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction)
    ) as caught:
        tenant_db.execute(statement)

    assert "does not exist" not in str(caught.value)


CROSSING = {
    "build_job_of_organization": "INSERT INTO builds_build SELECT (jsonb_populate_record(b,"
    " jsonb_build_object('id', %(own)s::uuid, 'job_id', %(foreign_job)s::uuid,"
    " 'reservation_id', %(hold_of_own)s::uuid))).* FROM builds_build b WHERE b.id = %(build)s",
    "fetch_job_of_organization": "INSERT INTO builds_fetch SELECT (jsonb_populate_record(f,"
    " jsonb_build_object('id', %(own)s::uuid, 'job_id', %(foreign_job)s::uuid))).*"
    " FROM builds_fetch f WHERE f.id = %(fetch)s",
    "failed_job_of_its_organization": "INSERT INTO jobs_failedjob (job_id, kind, queue,"
    " organization_id, state, error_class, message, traceback, fingerprint, attempts, payload,"
    " request_id, correlation_id, died_at, resolved_by, reason) VALUES (%(job)s, 'k', 'q',"
    " %(stranger)s, 'open', 'E', '', '', 'f', 1, '{}', '', '', now(), '', '')",
}


@pytest.mark.parametrize("role", ["owner", "application"])
@pytest.mark.parametrize("rule", CROSSING)
def test_row__that_would_cross_organizations__is_refused_to_everybody(
    tenants: tuple[Tenant, Tenant], owner_db: Any, app_db: Any, role: str, rule: str
) -> None:
    # P24
    connection = owner_db if role == "owner" else app_db
    own = tenants[0].organization_id
    # The build that is forged would have the organization's own id.
    hold = make_hold(own, 5, subject_id=f"build_{own.hex}").reservation_id

    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        connection.execute(CROSSING[rule], parameters(tenants) | {"hold_of_own": hold})

    assert caught.value.diag.constraint_name == rule
