-- Each entry of the audit log says with which rights somebody acted, and from where. An auditor reads marts.
set local role weekclose_dbt;

grant usage on schema marts to weekclose_auditor;
grant select on all tables in schema marts to weekclose_auditor;
alter default privileges in schema marts grant select on tables to weekclose_auditor;

set local role weekclose_owner;

-- Entries of before have neither, and keep the hash that they have.
alter table payouts.audit_log
add column role text,
add column metadata jsonb,
add constraint audit_log_context_is_whole check ((role is null) = (metadata is null));

-- The roles that the login was granted, without those that it has through another of them.
create function payouts.acting_role() returns text language sql stable as $$
    with held as (
        select rolname from pg_roles
        where rolname like 'weekclose\_%' and not rolcanlogin and pg_has_role(session_user, oid, 'member')
    )

    select case
        when (select rolsuper from pg_roles where rolname = session_user) then 'superuser'
        else coalesce(
            (
                select string_agg(held.rolname, ', ' order by held.rolname collate "C") from held
                where not exists (
                    select from held as wider
                    where wider.rolname <> held.rolname and pg_has_role(wider.rolname, held.rolname, 'member')
                )
            ),
            ''
        )
    end
$$;

-- A run of the command names itself, and its version, in its session; nobody else has to.
create function payouts.acting_from() returns jsonb language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'login', session_user,
        'application', current_setting('application_name'),
        'version', nullif(current_setting('weekclose.version', true), ''),
        'run', nullif(current_setting('weekclose.run', true), ''),
        'address', host(inet_client_addr()),
        'transaction', pg_current_xact_id()::text
    ))
$$;

-- What a run has booked is found by its name, whoever books at the same time.
alter table payouts.ledger_transactions add column run text;
alter table payouts.ledger_transactions
alter column run set default nullif(current_setting('weekclose.run', true), '');
create index ledger_transactions_run on payouts.ledger_transactions (run) where run is not null;

create function payouts.audit_entry_hash(entry payouts.audit_log) returns text language sql stable as $$
    select case
        when entry.role is null and entry.metadata is null then payouts.audit_hash(
            entry.entry_id, entry.at, entry.actor, entry.action, entry.entity, entry.before, entry.after,
            entry.reason, entry.previous_hash
        )
        else encode(sha256(convert_to(
            payouts.audit_hash(
                entry.entry_id, entry.at, entry.actor, entry.action, entry.entity, entry.before, entry.after,
                entry.reason, entry.previous_hash
            ) || jsonb_build_array(entry.role, entry.metadata)::text, 'UTF8'
        )), 'hex')
    end
$$;

-- As it was, with role and metadata.
create or replace function payouts.audit(
    actor text, action text, entity text, before jsonb, after jsonb, reason text default ''
) returns bigint language plpgsql as $$
declare
    last_entry payouts.audit_log;
    entry payouts.audit_log;
begin
    perform payouts.refuse_other_name(actor);
    entry.at := clock_timestamp();
    perform payouts.lock_audit_chain();
    select * into last_entry from payouts.audit_log as entries order by entries.entry_id desc limit 1;
    entry.entry_id := coalesce(last_entry.entry_id, 0) + 1;
    entry.actor := actor;
    entry.action := action;
    entry.entity := entity;
    entry.before := before;
    entry.after := after;
    entry.reason := reason;
    entry.previous_hash := coalesce(last_entry.hash, '');
    entry.role := payouts.acting_role();
    entry.metadata := payouts.acting_from();
    entry.hash := payouts.audit_entry_hash(entry);
    insert into payouts.audit_log values (entry.*);
    return entry.entry_id;
end
$$;

-- As it was, with role and metadata where an entry has them.
create or replace function payouts.first_broken_audit_entry() returns bigint language sql stable
security definer set search_path = pg_catalog, pg_temp as $$
    select chain.entry_id
    from (
        select
            entries.entry_id,
            entries.previous_hash,
            entries.hash,
            payouts.audit_entry_hash(entries) as computed_hash,
            lag(entries.hash, 1, '') over (order by entries.entry_id) as hash_before,
            row_number() over (order by entries.entry_id) as position
        from payouts.audit_log as entries
    ) as chain
    where
        chain.entry_id <> chain.position
        or chain.previous_hash <> chain.hash_before
        or chain.hash <> chain.computed_hash
    order by chain.entry_id
    limit 1
$$;

-- What the queue is made of: few, however many years there are.
create index payouts_not_over on payouts.payouts (payout_window) where status not in ('paid', 'reversed');

-- Why payouts may not go out, one row per reason; one row without a reason for a payout that may.
create function payouts.recheck(numbers text [])
returns table (
    payout_number text, seller_id text, currency text, amount numeric, status text, reason text
) language plpgsql stable
security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    with

    asked as (
        select asked_number, payouts.*, payouts.has_rolled(payouts) as has_rolled
        from (select distinct unnest(numbers) as asked_number) as named
        left join payouts.payouts on named.asked_number = payouts.payout_number
    ),

    unready as (
        select found.payout_number, found.reason
        from (select distinct paid_with from asked where status = 'ready') as leaving
        cross join lateral payouts.unready(leaving.paid_with) as found
    )

    select asked.asked_number, asked.seller_id, asked.currency, asked.amount, asked.status, reasons.reason
    from asked
    left join lateral (
        select 'there is no such payout' as reason
        where asked.payout_number is null
        union all
        select unready.reason from unready
        where unready.payout_number = asked.payout_number
        union all
        select unnest(asked.block_reasons)
        where not asked.has_rolled
        union all
        select 'its money is in what was frozen or requested since'
        where asked.has_rolled
        union all
        select 'it is ' || replace(asked.status, '_', ' ')
        where
            asked.status not in ('ready', 'blocked')
            -- What no rail pays is still to be paid.
            and (asked.status, asked.rail) is distinct from ('submitted', 'MANUAL')
    ) as reasons on true
    order by asked.asked_number collate "C", reasons.reason collate "C";
end
$$;

grant execute on function payouts.recheck
to weekclose_operator, weekclose_approver, weekclose_reconciler, weekclose_billing, weekclose_auditor;
