-- Escrow holds: money that stays in a seller's balance until something is over. A hold lowers what the next
-- freeze makes payable, and never changes what was frozen.
do $$
begin
    if not exists (select from pg_roles where rolname = 'weekclose_billing') then
        create role weekclose_billing nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise exception
            'login % may not create the role weekclose_billing: migrate as a login with CREATEROLE', session_user
            using errcode = 'insufficient_privilege';
end
$$;

-- The billing admin reads all, and holds.
set local role weekclose_dbt;

grant usage on schema marts, seeds, staging, intermediate to weekclose_billing;
grant select on all tables in schema marts, seeds, staging, intermediate to weekclose_billing;
alter default privileges in schema marts, seeds, staging, intermediate
grant select on tables to weekclose_billing;
-- A table that a build made keeps its columns as they were.
alter table if exists intermediate.int_window_rows
add column if not exists held numeric(18, 2) not null default 0;

set local role weekclose_owner;

grant usage on schema raw, payouts to weekclose_billing;
grant select on all tables in schema raw, payouts to weekclose_billing;
revoke select on payouts.second_factors from weekclose_billing;
alter default privileges in schema raw, payouts grant select on tables to weekclose_billing;
grant execute on function payouts.last_build to weekclose_billing;

-- Until then the buyer may send an order back; what the seller still has of it is held.
alter table raw.orders add column guarantee_ends_at timestamptz;
create index orders_guarantee on raw.orders (guarantee_ends_at) where guarantee_ends_at is not null;

alter table payouts.frozen_rows add column held numeric(18, 2) not null default 0;
alter table payouts.frozen_rows add constraint frozen_rows_hold_money check (held >= 0);

create sequence payouts.hold_number_seq;

-- One row per hold that a person made; what guarantees hold is computed by the build. Never removed.
create table payouts.escrow_holds (
    hold_number text primary key default 'HLD' || lpad(nextval('payouts.hold_number_seq')::text, 7, '0'),
    seller_id text not null,
    currency text not null,
    amount numeric(18, 2) not null,
    reason text not null,
    note text not null,
    order_id text,
    payout_number text references payouts.payouts,
    release_at timestamptz,
    status text not null default 'active',
    held_by text not null,
    held_at timestamptz not null default clock_timestamp(),
    ended_by text,
    ended_at timestamptz,
    ended_because text,
    constraint escrow_holds_amount_is_positive check (amount > 0),
    constraint escrow_holds_currency_is_a_code check (currency ~ '^[A-Z][A-Z0-9]{2,9}$'),
    constraint escrow_holds_reason_is_known
    check (reason in ('guarantee_period', 'dispute', 'verification', 'other')),
    constraint escrow_holds_say_why check (note <> ''),
    constraint escrow_holds_refer_to_one_thing check (num_nonnulls(order_id, payout_number) <= 1),
    constraint escrow_holds_status_is_known check (status in ('active', 'released', 'cancelled')),
    constraint escrow_holds_end_with_a_name check (
        num_nulls(ended_by, ended_at, ended_because) = case status when 'active' then 3 else 0 end
        and coalesce(ended_because <> '', true)
    )
);

alter sequence payouts.hold_number_seq owned by payouts.escrow_holds.hold_number;
create index escrow_holds_active on payouts.escrow_holds (seller_id, currency) where status = 'active';

create function payouts.guard_escrow_hold() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'active' then
            raise exception 'hold % begins active', new.hold_number using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        old.status <> 'active'
        or (
            old.hold_number, old.seller_id, old.currency, old.amount, old.reason, old.note, old.order_id,
            old.payout_number, old.release_at, old.held_by, old.held_at
        ) is distinct from (
            new.hold_number, new.seller_id, new.currency, new.amount, new.reason, new.note, new.order_id,
            new.payout_number, new.release_at, new.held_by, new.held_at
        )
    then
        raise exception 'hold % is %: it does not change', old.hold_number, old.status
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger escrow_holds_end_once before insert or update on payouts.escrow_holds
for each row execute function payouts.guard_escrow_hold();
create trigger escrow_holds_are_never_removed before delete or truncate on payouts.escrow_holds
for each statement execute function payouts.refuse_change();

-- One at a time writes to the audit log, and nobody while a window is frozen: a freeze sees the log as it was
-- when it began, and could not go on from what came after.
create function payouts.lock_audit_chain() returns void language plpgsql as $$
begin
    lock table payouts.turns in row exclusive mode;
    perform pg_advisory_xact_lock(hashtext('weekclose audit chain'));
end
$$;

create function payouts.create_hold(
    its_seller text, its_currency text, its_amount numeric, its_reason text, its_note text, about_order text,
    about_payout text, until timestamptz, actor text
) returns text language plpgsql as $$
declare
    number text;
begin
    perform payouts.refuse_other_name(actor);
    perform payouts.lock_audit_chain();
    if its_amount <= 0 or its_amount <> round(its_amount, 2) then
        raise exception 'a hold of % is none: give a positive amount with at most two decimals', its_amount
            using errcode = 'WC003';
    end if;
    if not exists (select from staging.stg_sellers where seller_id = its_seller) then
        raise exception 'there is no seller %', its_seller using errcode = 'WC003';
    end if;
    if about_order is not null and not exists (
        select from staging.stg_orders
        where (order_id, seller_id, currency) = (about_order, its_seller, its_currency)
    ) then
        raise exception 'seller % has no order % in %', its_seller, about_order, its_currency
            using errcode = 'WC003';
    end if;
    if about_payout is not null and not exists (
        select from payouts.payouts
        where (payout_number, seller_id, currency) = (about_payout, its_seller, its_currency)
    ) then
        raise exception 'seller % has no payout % in %', its_seller, about_payout, its_currency
            using errcode = 'WC003';
    end if;
    if until <= clock_timestamp() then
        raise exception 'a hold that ends at % has ended', until using errcode = 'WC003';
    end if;
    -- A command whose connection broke after its commit is run again.
    select hold_number into number
    from payouts.escrow_holds
    where
        status = 'active'
        and (seller_id, currency, amount, reason, note, held_by)
        = (its_seller, its_currency, its_amount, its_reason, its_note, actor)
        and (order_id, payout_number, release_at) is not distinct from (about_order, about_payout, until);
    if found then
        raise exception '% is just that already: another note tells two apart', number using errcode = 'WC005';
    end if;
    insert into payouts.escrow_holds (
        seller_id, currency, amount, reason, note, order_id, payout_number, release_at, held_by
    )
    values (
        its_seller, its_currency, its_amount, its_reason, its_note, about_order, about_payout, until, actor
    )
    returning hold_number into number;
    perform payouts.audit(
        actor, 'hold create', 'hold:' || number, null,
        jsonb_build_object(
            'seller', its_seller, 'currency', its_currency, 'amount', its_amount, 'reason', its_reason,
            'order', about_order, 'payout', about_payout, 'release_at', until
        ),
        its_note
    );
    return number;
end
$$;

-- Release a hold early, or cancel one that should not have been.
create function payouts.end_hold(number text, how text, why text, actor text)
returns void language plpgsql as $$
declare
    escrow payouts.escrow_holds;
begin
    perform payouts.refuse_other_name(actor);
    select * into escrow from payouts.escrow_holds where hold_number = number for update;
    if not found then
        raise exception 'there is no hold %', number using errcode = 'WC005';
    end if;
    if escrow.status <> 'active' then
        raise exception 'hold % is % already', number, escrow.status using errcode = 'WC005';
    end if;
    update payouts.escrow_holds
    set status = how, ended_by = actor, ended_at = clock_timestamp(), ended_because = why
    where hold_number = number;
    perform payouts.audit(
        actor, case how when 'released' then 'hold release' else 'hold cancel' end, 'hold:' || number,
        jsonb_build_object('status', 'active'), jsonb_build_object('status', how), why
    );
end
$$;

-- What is over by an instant is released before anything is frozen. Two who do it at once do it once. Returns
-- how many.
create function payouts.release_due_holds(at_instant timestamptz, actor text)
returns integer language plpgsql as $$
declare
    due text;
    released integer := 0;
begin
    perform payouts.refuse_other_name(actor);
    if exists (
        select from payouts.escrow_holds where status = 'active' and release_at <= at_instant
    ) then
        -- Whoever ends several has it while he waits for a row: here it comes before the rows.
        perform payouts.lock_audit_chain();
    end if;
    for due in
        select hold_number from payouts.escrow_holds
        where status = 'active' and release_at <= at_instant
        order by hold_number collate "C"
        for update skip locked
    loop
        perform payouts.end_hold(due, 'released', 'its time is over', actor);
        released := released + 1;
    end loop;
    return released;
end
$$;

-- As it was, and what is held where something is: digests of before stay what they were.
create or replace function payouts.window_digest(digested_window date) returns text language sql stable
set timezone = 'UTC' as $$
    -- Added up without a join: a plan for tables that were filled a moment ago is a guess.
    with contents as (
        select
            seller_id,
            currency,
            1 as part,
            '' as id,
            jsonb_build_array(
                seller_id, currency, gross, fees, refunds, net, disputes, adjustments, carry_in, payable,
                carry_out, rail, status, block_reasons, order_count, late_line_count
            )::text || case when held <> 0 then held::text else '' end as content
        from payouts.frozen_rows
        where payout_window = digested_window
        union all
        select seller_id, currency, 2, payout_number,
            jsonb_build_array(payout_number, amount, rail, destination)::text
        from payouts.payouts
        where payout_window = digested_window
        union all
        select seller_id, currency, 3, line_id,
            jsonb_build_array(
                line_id, order_id, extract(epoch from event_at), order_window, home_window,
                gross, fees, refunds, disputes, adjustments, source_amount
            )::text
        from payouts.frozen_lines
        where payout_window = digested_window
    ),

    sellers as (
        select
            seller_id,
            currency,
            encode(sha256(convert_to(
                string_agg(content, e'\n' order by part, id collate "C"), 'UTF8'
            )), 'hex') as digest
        from contents
        group by seller_id, currency
    )

    select encode(sha256(convert_to(
        to_char(digested_window, 'YYYY-MM-DD') || e'\n' || coalesce(
            string_agg(digest, e'\n' order by seller_id collate "C", currency collate "C"), ''
        ),
        'UTF8'
    )), 'hex')
    from sellers
$$;

-- As it was, with what is held.
create or replace function payouts.freeze_content(due_window date) returns void language plpgsql as $$
begin
    insert into payouts.frozen_rows (
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
        carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count, held
    )
    select
        payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
        carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count, held
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
    where payout_window = due_window
    union all
    select
        line_id, payout_window, seller_id, currency, null, 'adjustment', adjustment_number, event_at,
        payout_window, payout_window, 0, 0, 0, 0, adjustments, adjustments
    from intermediate.int_adjustment_lines
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
                and paid.status in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
                and paid.payout_number <> payouts.payout_number
        );
end
$$;

-- As it was, with what is held.
drop function payouts.windows_of(text);
create function payouts.windows_of(asked_seller text)
returns table (
    seller_id text, payout_window date, gross numeric, fees numeric, refunds numeric, net numeric, rail text,
    status text, currency text, window_ends_at timestamptz, reserve_closes_at timestamptz, disputes numeric,
    adjustments numeric, carry_in numeric, payable numeric, carry_out numeric, block_reasons text [],
    payout_number text, failure_reason text, order_count bigint, late_line_count bigint,
    frozen_at timestamptz, held numeric
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        seller_id, payout_window, gross, fees, refunds, net, rail, status, currency, window_ends_at,
        reserve_closes_at, disputes, adjustments, carry_in, payable, carry_out, block_reasons, payout_number,
        failure_reason, order_count, late_line_count, frozen_at, held
    from marts.settlement_windows
    where seller_id = asked_seller;
end
$$;

do $$
declare
    door text;
begin
    foreach door in array array['create_hold', 'end_hold', 'release_due_holds', 'windows_of'] loop
        execute format('alter function payouts.%I security definer set search_path = pg_catalog, pg_temp', door);
    end loop;
end
$$;

grant execute on function payouts.create_hold to weekclose_operator, weekclose_billing;
grant execute on function payouts.end_hold, payouts.release_due_holds to weekclose_operator;
grant execute on function payouts.windows_of
to weekclose_operator, weekclose_approver, weekclose_reconciler, weekclose_billing, weekclose_analyst,
weekclose_seller;
