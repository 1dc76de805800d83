-- Who may do what. The roles are groups without a login: a person's or a program's own login is granted those
-- that it needs. Tables belong to weekclose_owner, the warehouse to weekclose_dbt; whoever decides or pays does
-- so through functions that run as the owner, and under the name of his login.
--
-- Roles belong to the whole cluster: another database may have made them, or be making them right now.
do $$
declare
    missing text;
begin
    foreach missing in array array[
        'weekclose_owner', 'weekclose_dbt', 'weekclose_loader', 'weekclose_operator', 'weekclose_approver',
        'weekclose_webhook', 'weekclose_auditor', 'weekclose_analyst', 'weekclose_seller'
    ] loop
        continue when exists (select from pg_roles where rolname = missing);
        begin
            execute format('create role %I nologin', missing);
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'login % may not create the role %: migrate as a login with CREATEROLE', session_user, missing
                    using errcode = 'insufficient_privilege';
        end;
    end loop;
    foreach missing in array array['weekclose_owner', 'weekclose_dbt'] loop
        continue when pg_has_role(missing, 'usage');
        begin
            execute format('grant %I to current_user', missing);
        exception
            when unique_violation then null;
            when insufficient_privilege then
                raise exception 'login % is not in %: let a superuser grant it', session_user, missing
                    using errcode = 'insufficient_privilege';
        end;
    end loop;
    begin
        execute format('grant create on database %I to weekclose_dbt', current_database());
    exception
        when insufficient_privilege then
            raise exception 'login % does not own database %: migrate as the login that does', session_user, current_database()
                using errcode = 'insufficient_privilege';
    end;
end
$$;

create schema if not exists seeds;
create schema if not exists staging;
create schema if not exists intermediate;
create schema if not exists marts;

-- What is there changes hands.
do $$
declare
    found record;
begin
    for found in
        select schemas.*
        from (
            values
            ('raw', 'weekclose_owner'),
            ('payouts', 'weekclose_owner'),
            ('seeds', 'weekclose_dbt'),
            ('staging', 'weekclose_dbt'),
            ('intermediate', 'weekclose_dbt'),
            ('marts', 'weekclose_dbt')
        ) as schemas (name, owner)
    loop
        execute format('alter schema %I owner to %I', found.name, found.owner);
    end loop;
    for found in
        -- ALTER TABLE is for views too; sequences and indexes follow their tables.
        select format('alter table %s owner to %I', pg_class.oid::regclass, owners.rolname) as change
        from pg_class
        inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
        inner join pg_roles as owners on pg_namespace.nspowner = owners.oid
        where
            pg_namespace.nspname in ('raw', 'payouts', 'seeds', 'staging', 'intermediate', 'marts')
            and pg_class.relkind in ('r', 'v', 'm', 'p')
        union all
        select format('alter routine %s owner to weekclose_owner', pg_proc.oid::regprocedure)
        from pg_proc
        where pg_proc.pronamespace = 'payouts'::regnamespace
    loop
        execute found.change;
    end loop;
end
$$;

-- A later migration begins with `set local role weekclose_owner`, and is noted as that role.
grant select on public.weekclose_migrations to public;
grant insert on public.weekclose_migrations to weekclose_owner;

-- What a build leaves behind stays readable after the next one.
set local role weekclose_dbt;

grant usage on schema marts to weekclose_analyst, weekclose_operator, weekclose_approver, weekclose_owner;
grant usage on schema seeds, staging, intermediate to weekclose_operator, weekclose_approver, weekclose_owner;
grant select on all tables in schema marts
to weekclose_analyst, weekclose_operator, weekclose_approver, weekclose_owner;
grant select on all tables in schema seeds, staging, intermediate
to weekclose_operator, weekclose_approver, weekclose_owner;
alter default privileges in schema marts grant select on tables
to weekclose_analyst, weekclose_operator, weekclose_approver, weekclose_owner;
alter default privileges in schema seeds, staging, intermediate grant select on tables
to weekclose_operator, weekclose_approver, weekclose_owner;

set local role weekclose_owner;

-- An approver sees what he approves. Nobody but the owner writes, except: who loads, the raw tables; who runs
-- a Sunday, the verdict on a wallet, which a freeze gives once more.
grant usage on schema raw to weekclose_dbt, weekclose_loader, weekclose_operator;
grant select on all tables in schema raw to weekclose_dbt, weekclose_loader, weekclose_operator;
grant insert, update on raw.sellers, raw.orders, raw.refunds, raw.disputes, raw.control_totals to weekclose_loader;
grant insert on raw.rejected_rows to weekclose_loader;
grant usage on schema payouts
to weekclose_dbt, weekclose_operator, weekclose_approver, weekclose_auditor, weekclose_webhook, weekclose_analyst,
weekclose_seller;
grant select on all tables in schema payouts
to weekclose_dbt, weekclose_operator, weekclose_approver, weekclose_auditor;
grant insert on payouts.judged_wallets to weekclose_operator;
-- Which events may be applied, and how many wait; not what they say.
grant select (event_id, outcome) on payouts.event_outcomes to weekclose_webhook;
grant select (event_id, verdict) on payouts.inbox to weekclose_webhook;
-- What a freeze locks before its first look; there is nothing in it to update.
grant update on payouts.turns to weekclose_operator;

alter default privileges in schema raw grant select on tables
to weekclose_dbt, weekclose_loader, weekclose_operator;
alter default privileges in schema payouts grant select on tables
to weekclose_dbt, weekclose_operator, weekclose_approver, weekclose_auditor;
alter default privileges revoke execute on functions from public;

-- Four eyes are two logins. Only who is the owner anyhow may name somebody else.
create function payouts.refuse_other_name(actor text) returns void language plpgsql stable as $$
begin
    if actor is distinct from session_user and not pg_has_role(session_user, 'weekclose_owner', 'member') then
        raise exception 'the login % cannot act as %: leave out --by and WEEKCLOSE_ACTOR', session_user, actor
            using errcode = 'WC003';
    end if;
end
$$;

-- One chain needs one writer at a time: the lock is held until the caller commits.
create or replace function payouts.audit(
    actor text, action text, entity text, before jsonb, after jsonb, reason text default ''
) returns bigint language plpgsql as $$
declare
    last_entry payouts.audit_log;
    next_id bigint;
    noted_at timestamptz := clock_timestamp();
begin
    perform payouts.refuse_other_name(actor);
    perform pg_advisory_xact_lock(hashtext('weekclose audit chain'));
    select * into last_entry from payouts.audit_log as entries order by entries.entry_id desc limit 1;
    next_id := coalesce(last_entry.entry_id, 0) + 1;
    insert into payouts.audit_log
    values (
        next_id, noted_at, actor, action, entity, before, after, reason, coalesce(last_entry.hash, ''),
        payouts.audit_hash(
            next_id, noted_at, actor, action, entity, before, after, reason, coalesce(last_entry.hash, '')
        )
    );
    return next_id;
end
$$;

-- A run is recorded before it does anything, and once when it ends.
create function payouts.start_run(run uuid, spoken_for timestamptz, actor text, used jsonb)
returns void language plpgsql as $$
begin
    perform payouts.refuse_other_name(actor);
    insert into payouts.warehouse_runs (run_id, as_of, started_at, actor, outcome, settings)
    values (run, spoken_for, now(), actor, 'running', used);
end
$$;

create function payouts.end_run(run uuid, how text, why text, found jsonb) returns void language sql as $$
    update payouts.warehouse_runs
    set finished_at = clock_timestamp(), outcome = how, message = why, results = found
    where run_id = run and outcome = 'running'
$$;

-- What a due window consists of, as the build left it: rows, lines, payouts and what those pay for.
create function payouts.freeze_content(due_window date) returns void language plpgsql as $$
begin
    insert into payouts.frozen_rows (
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
        carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count
    )
    select
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
        carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count
    from intermediate.int_window_rows
    where payout_window = due_window;

    insert into payouts.frozen_lines (
        line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
        home_window, gross, fees, refunds, disputes, adjustments, source_amount
    )
    select
        line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
        home_window, gross, fees, refunds, disputes, 0, source_amount
    from intermediate.int_order_events
    where payout_window = due_window;

    -- One payout per row with money to pay, numbered in the order of the sellers.
    insert into payouts.payouts (
        payout_window, seller_id, currency, amount, rail, destination, status, block_reasons
    )
    select
        frozen.payout_window, frozen.seller_id, frozen.currency, frozen.payable, frozen.rail, due.destination,
        frozen.status, frozen.block_reasons
    from payouts.frozen_rows as frozen
    inner join intermediate.int_window_rows as due
        on
            frozen.payout_window = due.payout_window
            and frozen.seller_id = due.seller_id
            and frozen.currency = due.currency
    where frozen.payout_window = due_window and frozen.payable > 0
    order by frozen.seller_id collate "C", frozen.currency collate "C";

    -- A payout pays its own window's lines, and those of each earlier window that no live payout has paid.
    insert into payouts.payout_coverage (payout_number, payout_window)
    select payouts.payout_number, earlier.payout_window
    from payouts.payouts as payouts
    inner join payouts.frozen_rows as earlier
        on
            payouts.seller_id = earlier.seller_id
            and payouts.currency = earlier.currency
            and earlier.payout_window <= payouts.payout_window
    where
        payouts.payout_window = due_window
        and not exists (
            select from payouts.payout_coverage as coverage
            inner join payouts.payouts as paid on coverage.payout_number = paid.payout_number
            where
                paid.seller_id = earlier.seller_id
                and paid.currency = earlier.currency
                and coverage.payout_window = earlier.payout_window
                and paid.status in ('ready', 'submitted', 'paid', 'awaiting_reconciliation')
                and paid.payout_number <> payouts.payout_number
        );
end
$$;

-- What a frozen window's cash means in double entry: the platform owes the sellers, and keeps its fees.
create function payouts.book_freeze(booked_window date) returns void language plpgsql as $$
begin
    -- Every seller with a frozen row has an account, even if nothing ever moved on it.
    insert into payouts.account_balances (account, seller_id, currency, balance)
    select 'seller_payable', seller_id, currency, 0
    from payouts.frozen_rows
    where payout_window = booked_window
    on conflict (account, seller_id, currency) do nothing;

    with

    cash as (
        select seller_id, currency, gross - refunds - disputes + adjustments as cleared, fees
        from payouts.frozen_rows
        where payout_window = booked_window
    ),

    entries as (
        select cash.seller_id, cash.currency, movement.account, movement.amount
        from cash
        cross join lateral (
            values
            ('seller_payable', cash.cleared - cash.fees),
            ('platform_fees', cash.fees),
            ('sales_clearing', -cash.cleared)
        ) as movement (account, amount)
        where movement.amount <> 0
    ),

    booked as (
        insert into payouts.ledger_transactions (kind, reference)
        select 'freeze', to_char(booked_window, 'YYYY-MM-DD')
        where exists (select from entries)
        returning transaction_id
    )

    insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount)
    select booked.transaction_id, entries.account, entries.seller_id, entries.currency, entries.amount
    from entries
    cross join booked
    order by entries.seller_id collate "C", entries.currency collate "C", entries.account collate "C";
end
$$;

-- Promise what was frozen: the window with the digest of its content, its first batch, its booking.
create function payouts.freeze_window(
    due_window date, ends_at timestamptz, closes_at timestamptz, run uuid, spoken_for timestamptz, used jsonb,
    actor text
) returns void language plpgsql as $$
declare
    promised jsonb;
begin
    insert into payouts.frozen_windows (
        payout_window, window_ends_at, reserve_closes_at, as_of, run_id, settings, content_digest, row_count,
        line_count, frozen_by
    )
    values (
        due_window, ends_at, closes_at, spoken_for, run, used, payouts.window_digest(due_window),
        (select count(*) from payouts.frozen_rows where payout_window = due_window),
        (select count(*) from payouts.frozen_lines where payout_window = due_window),
        actor
    );
    -- A window that pays nobody needs no review.
    insert into payouts.batches (batch_id, payout_window, content_digest)
    select 'W' || to_char(due_window, 'YYYY-MM-DD') || '-G1', due_window, payouts.batch_digest(due_window)
    where exists (select from payouts.payouts where payout_window = due_window);
    perform payouts.book_freeze(due_window);
    select
        jsonb_build_object(
            'content_digest', coalesce(max(batches.content_digest), max(windows.content_digest)),
            'rows', max(windows.row_count),
            'lines', max(windows.line_count),
            'ready', coalesce(sum(paid.ready), 0),
            'blocked', coalesce(sum(paid.blocked), 0),
            'payable', coalesce(
                jsonb_object_agg(paid.currency, paid.payable::text) filter (where paid.payable is not null), '{}'
            ),
            'as_of', spoken_for
        )
    into promised
    from payouts.frozen_windows as windows
    left join payouts.batches on windows.payout_window = batches.payout_window
    left join (
        select
            currency,
            count(*) filter (where status = 'ready') as ready,
            count(*) filter (where status = 'blocked') as blocked,
            sum(amount) filter (where status = 'ready') as payable
        from payouts.payouts
        where payout_window = due_window
        group by currency
    ) as paid on true
    where windows.payout_window = due_window;
    perform payouts.audit(actor, 'freeze', 'window:' || to_char(due_window, 'YYYY-MM-DD'), null, promised);
end
$$;

-- Freeze what the last build found due, oldest window first. Whoever looks before he freezes locks
-- payouts.turns himself, and looks afterwards.
create function payouts.freeze(run uuid, spoken_for timestamptz, used jsonb, actor text)
returns setof date language plpgsql
set timezone = 'UTC' as $$
declare
    due record;
begin
    lock table payouts.turns in share row exclusive mode;
    for due in
        select payout_window, window_ends_at, reserve_closes_at
        from intermediate.int_open_windows
        where is_due
        order by payout_window
    loop
        perform payouts.freeze_content(due.payout_window);
        perform payouts.freeze_window(
            due.payout_window, due.window_ends_at, due.reserve_closes_at, run, spoken_for, used, actor
        );
        return next due.payout_window;
    end loop;
    if found then
        -- What reads the new window next should not plan for a single row.
        analyze payouts.frozen_rows, payouts.frozen_lines, payouts.payouts, payouts.account_balances;
    end if;
end
$$;

-- A sender is alive as long as his attempt says so.
create function payouts.beat(beating_attempt bigint) returns void language sql as $$
    update payouts.submit_attempts set active_at = clock_timestamp()
    where attempt_id = beating_attempt and outcome is null
$$;

-- A seller's login, and the one seller that it sees.
create table payouts.seller_logins (
    login text primary key,
    seller_id text not null,
    constraint seller_logins_are_of_a_seller check (seller_id <> '')
);

-- Who may read the marts may read every seller; a seller's login reads its own.
create function payouts.refuse_other_seller(asked_seller text) returns void language plpgsql stable as $$
begin
    if
        not has_table_privilege(session_user, 'marts.settlement_windows', 'select')
        and not exists (
            select from payouts.seller_logins where login = session_user and seller_id = asked_seller
        )
    then
        raise exception 'the login % may not see seller %', session_user, asked_seller using errcode = 'WC003';
    end if;
end
$$;

create function payouts.seller_named(asked_seller text)
returns table (seller_id text, display_name text, seller_type text) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select seller_id, display_name, seller_type from staging.stg_sellers where seller_id = asked_seller;
end
$$;

create function payouts.windows_of(asked_seller text)
returns table (
    seller_id text, payout_window date, gross numeric, fees numeric, refunds numeric, net numeric, rail text,
    status text, currency text, window_ends_at timestamptz, reserve_closes_at timestamptz, disputes numeric,
    adjustments numeric, carry_in numeric, payable numeric, carry_out numeric, block_reasons text [],
    payout_number text, failure_reason text, order_count bigint, late_line_count bigint, frozen_at timestamptz
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        seller_id, payout_window, gross, fees, refunds, net, rail, status, currency, window_ends_at,
        reserve_closes_at, disputes, adjustments, carry_in, payable, carry_out, block_reasons, payout_number,
        failure_reason, order_count, late_line_count, frozen_at
    from marts.settlement_windows
    where seller_id = asked_seller;
end
$$;

create function payouts.lines_of(asked_seller text, asked_window date)
returns table (
    line_id text, seller_id text, currency text, order_id text, kind text, event_at timestamptz,
    payout_window date, gross numeric, fees numeric, refunds numeric, disputes numeric, adjustments numeric,
    is_late boolean, is_frozen boolean
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        line_id, seller_id, currency, order_id, kind, event_at, payout_window, gross, fees, refunds, disputes,
        adjustments, is_late, is_frozen
    from marts.settlement_lines
    where seller_id = asked_seller and payout_window = asked_window;
end
$$;

create function payouts.balances_of(asked_seller text)
returns table (
    seller_id text, currency text, pending_balance numeric, available_balance numeric, in_transit numeric,
    reserve_closes_at timestamptz, last_payout_status text, last_failure_reason text
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        seller_id, currency, pending_balance, available_balance, in_transit, reserve_closes_at,
        last_payout_status, last_failure_reason
    from marts.seller_balances
    where seller_id = asked_seller;
end
$$;

create function payouts.payouts_of(asked_seller text)
returns table (
    payout_number text, payout_window date, seller_id text, currency text, amount numeric, rail text,
    destination text, status text, failure_code text, failure_reason text, external_reference text,
    status_changed_at timestamptz, submitted_at timestamptz, paid_at timestamptz
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        paid.payout_number, paid.payout_window, paid.seller_id, paid.currency, paid.amount, paid.rail,
        paid.destination, paid.status, paid.failure_code, paid.failure_reason, paid.external_reference,
        paid.status_changed_at, steps.submitted_at, steps.paid_at
    from payouts.payouts as paid
    left join lateral (
        select
            max(transactions.booked_at) filter (where transactions.kind = 'submit') as submitted_at,
            max(transactions.booked_at) filter (where transactions.kind = 'pay') as paid_at
        from payouts.ledger_entries as entries
        inner join payouts.ledger_transactions as transactions
            on entries.transaction_id = transactions.transaction_id
        where entries.payout_number = paid.payout_number
    ) as steps on paid.status not in ('ready', 'blocked')
    where paid.seller_id = asked_seller;
end
$$;

-- When the numbers are of, and by which calendar.
create function payouts.last_build()
returns table (as_of timestamptz, started_at timestamptz, settings jsonb) language plpgsql stable as $$
#variable_conflict use_column
begin
    return query
    select as_of, started_at, cast(settings as jsonb)
    from intermediate.int_builds
    order by started_at desc
    limit 1;
end
$$;

-- The doors. Whatever is not named here is for the owner alone.
revoke execute on all functions in schema payouts from public;

do $$
declare
    door text;
begin
    foreach door in array array[
        -- Not called, but fired late: when the caller commits, as whoever that is.
        'refuse_unbooked', 'refuse_empty_transaction',
        'start_run', 'end_run', 'freeze', 'hold', 'release', 'clear', 'approve', 'order_resend', 'claim_batch',
        'retry_batch', 'beat', 'end_attempts', 'take_receipt', 'take_refusal', 'receive_event', 'apply_event',
        'confirm', 'first_broken_audit_entry', 'last_build', 'seller_named', 'windows_of', 'lines_of',
        'balances_of', 'payouts_of'
    ] loop
        execute format('alter function payouts.%I security definer set search_path = pg_catalog, pg_temp', door);
    end loop;
end
$$;

grant execute on function
payouts.start_run, payouts.end_run, payouts.freeze, payouts.hold, payouts.release, payouts.clear,
payouts.claim_batch, payouts.retry_batch, payouts.beat, payouts.end_attempts, payouts.take_receipt,
payouts.take_refusal, payouts.apply_event, payouts.confirm
to weekclose_operator;
grant execute on function payouts.approve, payouts.order_resend to weekclose_approver;
grant execute on function payouts.receive_event, payouts.apply_event to weekclose_webhook;
grant execute on function payouts.first_broken_audit_entry to weekclose_auditor;
grant execute on function payouts.last_build
to weekclose_operator, weekclose_approver, weekclose_analyst, weekclose_seller;
grant execute on function
payouts.seller_named, payouts.windows_of, payouts.lines_of, payouts.balances_of, payouts.payouts_of
to weekclose_operator, weekclose_approver, weekclose_analyst, weekclose_seller;

-- These only compute. A dry run shows the key, a data test takes the digest of what was frozen once more.
grant execute on function payouts.batch_key to weekclose_operator, weekclose_approver;
grant execute on function payouts.window_digest to weekclose_dbt;
