-- Off-cycle payouts: part of a seller's frozen, unpaid balance between two windows. A person requests it, or a
-- schedule does when its time comes; another person approves; it leaves alone, through the one submission.
set local role weekclose_owner;

create sequence payouts.schedule_number_seq;

-- One row per request that is to be made when its time comes. Tries are kept here: the job never repeats itself.
create table payouts.payout_schedules (
    schedule_number text primary key
    default 'SCH' || lpad(nextval('payouts.schedule_number_seq')::text, 7, '0'),
    seller_id text not null,
    currency text not null,
    amount numeric(18, 2) not null,
    trigger_event text not null,
    note text not null,
    order_id text,
    due_at timestamptz,
    status text not null default 'pending',
    retry_count integer not null default 0,
    last_error text,
    next_try_at timestamptz,
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    triggered_by text,
    triggered_at timestamptz,
    ended_by text,
    ended_at timestamptz,
    cancel_reason text,
    constraint payout_schedules_amount_is_positive check (amount > 0),
    constraint payout_schedules_currency_is_a_code check (currency ~ '^[A-Z][A-Z0-9]{2,9}$'),
    constraint payout_schedules_trigger_is_known
    check (trigger_event in ('guarantee_period_end', 'milestone_reached', 'contract_signed', 'manual')),
    constraint payout_schedules_say_why check (note <> ''),
    constraint payout_schedules_follow_a_guarantee
    check ((trigger_event = 'guarantee_period_end') = (order_id is not null and due_at is null)),
    constraint payout_schedules_status_is_known
    check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint payout_schedules_tries check (
        retry_count between 0 and 3
        and (retry_count > 0) = (last_error is not null)
        and (status <> 'pending' or retry_count = 0)
        and (status <> 'failed' or retry_count = 3)
        and (next_try_at is not null) = (status = 'processing')
    ),
    constraint payout_schedules_begin_with_a_name check (
        (triggered_by is null) = (triggered_at is null) and (status <> 'pending' or triggered_at is null)
    ),
    constraint payout_schedules_end_with_a_name check (
        num_nulls(ended_by, ended_at) = case when status in ('pending', 'processing') then 2 else 0 end
        and (cancel_reason is not null) = (status = 'cancelled')
        and coalesce(cancel_reason <> '', true)
    )
);

alter sequence payouts.schedule_number_seq owned by payouts.payout_schedules.schedule_number;
create index payout_schedules_open on payouts.payout_schedules (next_try_at)
where status in ('pending', 'processing');

create function payouts.guard_schedule() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'pending' then
            raise exception 'schedule % begins pending', new.schedule_number using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        (
            old.schedule_number, old.seller_id, old.currency, old.amount, old.trigger_event, old.note,
            old.order_id, old.due_at, old.created_by, old.created_at
        ) is distinct from (
            new.schedule_number, new.seller_id, new.currency, new.amount, new.trigger_event, new.note,
            new.order_id, new.due_at, new.created_by, new.created_at
        )
        or (old.status, new.status) not in (
            ('pending', 'processing'), ('processing', 'processing'), ('processing', 'completed'),
            ('processing', 'failed'), ('pending', 'cancelled'), ('processing', 'cancelled'),
            ('failed', 'cancelled')
        )
        or new.retry_count not in (old.retry_count, old.retry_count + 1)
        or new.triggered_at < old.triggered_at
    then
        raise exception 'schedule % is %: it does not change to that', old.schedule_number, old.status
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger payout_schedules_go_their_way before insert or update on payouts.payout_schedules
for each row execute function payouts.guard_schedule();
create trigger payout_schedules_are_never_removed before delete or truncate on payouts.payout_schedules
for each statement execute function payouts.refuse_change();

create sequence payouts.request_number_seq;

-- One row per request. What became of an approved one is its payout's status.
create table payouts.payout_requests (
    request_number text primary key
    default 'REQ' || lpad(nextval('payouts.request_number_seq')::text, 7, '0'),
    seller_id text not null,
    currency text not null,
    amount numeric(18, 2) not null,
    reason text not null,
    schedule_number text references payouts.payout_schedules,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    decision text,
    decided_by text,
    decided_at timestamptz,
    decision_reason text not null default '',
    available numeric(18, 2),
    constraint payout_requests_amount_is_positive check (amount > 0),
    constraint payout_requests_currency_is_a_code check (currency ~ '^[A-Z][A-Z0-9]{2,9}$'),
    constraint payout_requests_say_why check (reason <> ''),
    constraint payout_requests_decision_is_known check (decision in ('approved', 'rejected')),
    constraint payout_requests_decision_has_a_name check (
        num_nulls(decided_by, decided_at) = case when decision is null then 2 else 0 end
        and (decision is not distinct from 'rejected') = (decision_reason <> '')
    ),
    constraint payout_requests_need_another_person check (decision <> 'approved' or decided_by <> requested_by),
    -- What the floor and holds left when it was approved.
    constraint payout_requests_respect_the_floor
    check (decision is distinct from 'approved' or coalesce(amount <= available, false))
);

alter sequence payouts.request_number_seq owned by payouts.payout_requests.request_number;
create unique index payout_requests_one_per_schedule on payouts.payout_requests (schedule_number);
create index payout_requests_open on payouts.payout_requests (seller_id, currency) where decision is null;

create function payouts.guard_request() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.decision is not null then
            raise exception 'request % begins undecided', new.request_number using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        (
            old.request_number, old.seller_id, old.currency, old.amount, old.reason, old.schedule_number,
            old.requested_by, old.requested_at
        ) is distinct from (
            new.request_number, new.seller_id, new.currency, new.amount, new.reason, new.schedule_number,
            new.requested_by, new.requested_at
        )
        or old.decision = 'rejected'
        or new.decision is null
        or (old.decision = 'approved' and new.decision = 'approved')
    then
        raise exception 'request % is %: it does not change to that',
            old.request_number, coalesce(old.decision, 'requested')
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger payout_requests_are_decided before insert or update on payouts.payout_requests
for each row execute function payouts.guard_request();
create trigger payout_requests_are_never_removed before delete or truncate on payouts.payout_requests
for each statement execute function payouts.refuse_change();

-- What leaves together: the payouts of a window, or the one of a request.
create function payouts.paid_with(payout_window date, request_number text) returns text language sql immutable as $$
    select coalesce(
        request_number,
        'W' || lpad(extract(year from payout_window)::text, 4, '0')
        || '-' || lpad(extract(month from payout_window)::text, 2, '0')
        || '-' || lpad(extract(day from payout_window)::text, 2, '0')
    )
$$;

alter table payouts.payouts
add column request_number text references payouts.payout_requests,
add column paid_with text not null generated always as (payouts.paid_with(payout_window, request_number)) stored,
drop constraint payouts_one_per_row;
create unique index payouts_one_per_row on payouts.payouts (payout_window, seller_id, currency)
where request_number is null;
create unique index payouts_one_per_request on payouts.payouts (request_number);
create index payouts_paid_with on payouts.payouts (paid_with);

alter table payouts.batches
add column request_number text references payouts.payout_requests,
add column paid_with text not null generated always as (payouts.paid_with(payout_window, request_number)) stored,
drop constraint batches_generation,
add constraint batches_generation unique (paid_with, generation);
drop index payouts.batches_one_live;
create unique index batches_one_live on payouts.batches (paid_with) where state <> 'rejected';

-- What may be requested of a seller's balance: what is frozen and promised to nobody, less his floor and what
-- holds keep. What a payout waits for may be released yet; what failed is his again.
create function payouts.requestable(asked_seller text, asked_currency text)
returns table (balance numeric, promised numeric, minimum_balance numeric, held numeric, available numeric)
language plpgsql stable as $$
#variable_conflict use_column
begin
    return query
    select parts.*, parts.balance - parts.promised - parts.minimum_balance - parts.held
    from (
        select
            coalesce(
                (
                    select accounts.balance from payouts.account_balances as accounts
                    where
                        (accounts.account, accounts.seller_id, accounts.currency)
                        = ('seller_payable', asked_seller, asked_currency)
                ),
                0
            ),
            coalesce(
                (
                    select sum(paid.amount) from payouts.payouts as paid
                    where
                        (paid.seller_id, paid.currency) = (asked_seller, asked_currency)
                        and (
                            paid.status = 'ready'
                            or (
                                paid.status = 'blocked'
                                and (paid.request_number is null or 'request_rejected' <> all(paid.block_reasons))
                                and not payouts.has_rolled(paid)
                            )
                        )
                ),
                0
            ),
            coalesce(
                (
                    select terms.minimum_balance from intermediate.int_seller_terms as terms
                    where terms.seller_id = asked_seller
                ),
                0
            ),
            coalesce(
                (
                    select sum(escrow.amount) from payouts.escrow_holds as escrow
                    where
                        (escrow.seller_id, escrow.currency) = (asked_seller, asked_currency)
                        and escrow.status = 'active'
                ),
                0
            ) + coalesce(
                (
                    select sum(guarantees.amount) from intermediate.int_guarantee_holds as guarantees
                    where (guarantees.seller_id, guarantees.currency) = (asked_seller, asked_currency)
                ),
                0
            )
    ) as parts (balance, promised, minimum_balance, held);
end
$$;

-- What keeps a seller from being paid between windows, as the last build and the books have it.
create function payouts.request_obstacles(asked_seller text, asked_currency text)
returns text [] language plpgsql stable as $$
declare
    changed_since boolean;
begin
    -- A build does not see what was changed after it: whoever asks between two builds must not gain by that.
    execute format(
        'select wallet_changed_at > (select max(as_of) from intermediate.int_builds) from %I.sellers'
        ' where seller_id = $1',
        (select settings ->> 'raw_schema' from payouts.frozen_windows order by payout_window desc limit 1)
    )
    into changed_since
    using asked_seller;
    return (
        select array_remove(array[
            case when terms.seller_id is null then 'unknown_seller' end,
            case when terms.needs_review then 'manual_review' end,
            case when not terms.is_active then 'seller_inactive' end,
            case when terms.seller_id is not null and terms.rail is null then 'no_rail' end,
            case when terms.rail is not null and not terms.is_wallet_valid then 'invalid_wallet' end,
            case when terms.settlement_currency <> asked_currency then 'currency_mismatch' end,
            case when terms.is_wallet_recently_changed or changed_since then 'wallet_recently_changed' end,
            case when exists (
                select from payouts.holds
                where
                    holds.seller_id = asked_seller
                    and holds.released_at is null
                    and holds.payout_window = (select max(payout_window) from payouts.frozen_windows)
            ) then 'on_hold' end,
            case when payouts.has_open_exception(asked_seller, asked_currency) then 'exception_pending' end
        ], null)
        from (values (asked_seller)) as asked (seller_id)
        left join intermediate.int_seller_terms as terms on asked.seller_id = terms.seller_id
    );
end
$$;

-- Refuse an amount that the floor, holds or other requests leave no room for.
create function payouts.refuse_unrequestable(its_seller text, its_currency text, its_amount numeric, others numeric)
returns numeric language plpgsql stable as $$
declare
    parts record;
begin
    select * into parts from payouts.requestable(its_seller, its_currency);
    if its_amount > parts.available - others then
        raise exception
            'seller % may have at most % % now, not %: % in the balance, % promised, floor %, % held, % asked for',
            its_seller, greatest(0.00, parts.available - others), its_currency, its_amount, parts.balance,
            parts.promised, parts.minimum_balance, parts.held, others
            using errcode = 'WC003';
    end if;
    return parts.available;
end
$$;

-- Note a request. Whoever notes it for a schedule names that, and its author.
create function payouts.note_request(
    its_seller text, its_currency text, its_amount numeric, why text, its_schedule text, requester text,
    actor text
) returns text language plpgsql as $$
declare
    number text;
    asked numeric;
begin
    perform payouts.lock_audit_chain();
    if its_amount <= 0 or its_amount <> round(its_amount, 2) then
        raise exception 'a request of % is none: give a positive amount with at most two decimals', its_amount
            using errcode = 'WC003';
    end if;
    if not exists (
        select from payouts.frozen_rows where (seller_id, currency) = (its_seller, its_currency)
    ) then
        raise exception 'seller % has no frozen balance in %', its_seller, its_currency using errcode = 'WC003';
    end if;
    -- A command whose connection broke after its commit is run again.
    select request_number into number
    from payouts.payout_requests
    where
        decision is null
        and (seller_id, currency, amount, reason, requested_by)
        = (its_seller, its_currency, its_amount, why, requester)
        and schedule_number is not distinct from its_schedule;
    if found then
        raise exception '% is just that already: another reason tells two apart', number using errcode = 'WC005';
    end if;
    select coalesce(sum(amount), 0) into asked
    from payouts.payout_requests
    where decision is null and (seller_id, currency) = (its_seller, its_currency);
    perform payouts.refuse_unrequestable(its_seller, its_currency, its_amount, asked);
    insert into payouts.payout_requests (seller_id, currency, amount, reason, schedule_number, requested_by)
    values (its_seller, its_currency, its_amount, why, its_schedule, requester)
    returning request_number into number;
    perform payouts.audit(
        actor, 'request create', 'request:' || number, null,
        jsonb_build_object(
            'seller', its_seller, 'currency', its_currency, 'amount', its_amount, 'schedule', its_schedule
        ),
        why
    );
    return number;
end
$$;

create function payouts.request_payout(
    its_seller text, its_currency text, its_amount numeric, why text, actor text
) returns text language plpgsql as $$
begin
    perform payouts.refuse_other_name(actor);
    perform payouts.release_due_holds(clock_timestamp(), actor);
    return payouts.note_request(its_seller, its_currency, its_amount, why, null, actor, actor);
end
$$;

create function payouts.lock_request(number text) returns payouts.payout_requests language plpgsql as $$
declare
    request payouts.payout_requests;
begin
    select * into request from payouts.payout_requests where request_number = number for update;
    if not found then
        raise exception 'there is no request %', number using errcode = 'WC005';
    end if;
    if request.decision = 'rejected' then
        raise exception 'request % is rejected already', number using errcode = 'WC005';
    end if;
    return request;
end
$$;

-- Approve a request: its payout is ready, its batch approved. What the rail refused needs it once more.
create function payouts.approve_request(number text, actor text) returns void language plpgsql as $$
declare
    request payouts.payout_requests;
    batch payouts.batches;
    obstacles text [];
    leaves_available numeric;
begin
    perform payouts.refuse_other_name(actor);
    lock table payouts.turns in row exclusive mode;
    request := payouts.lock_request(number);
    if request.decision is null then
        -- Nothing of his balance moves while it is looked at.
        perform from payouts.payouts
        where (seller_id, currency) = (request.seller_id, request.currency)
        order by payout_number
        for update;
        perform payouts.lock_audit_chain();
        obstacles := payouts.request_obstacles(request.seller_id, request.currency);
        if cardinality(obstacles) > 0 then
            raise exception 'seller % cannot be paid now: %', request.seller_id, array_to_string(obstacles, ', ')
                using errcode = 'WC003';
        end if;
        leaves_available := payouts.refuse_unrequestable(request.seller_id, request.currency, request.amount, 0);
        if actor = request.requested_by then
            raise exception '% requested %: another person has to approve it', actor, number
                using errcode = 'WC003';
        end if;
        update payouts.payout_requests
        set
            decision = 'approved', decided_by = actor, decided_at = clock_timestamp(),
            available = leaves_available
        where request_number = number;
        insert into payouts.payouts (
            payout_window, seller_id, currency, amount, rail, destination, status, created_at,
            status_changed_at, request_number
        )
        select
            (
                select max(payout_window) from payouts.frozen_rows
                where (seller_id, currency) = (request.seller_id, request.currency)
            ),
            request.seller_id, request.currency, request.amount, terms.rail, terms.destination, 'ready',
            clock_timestamp(), clock_timestamp(), number
        from intermediate.int_seller_terms as terms
        where terms.seller_id = request.seller_id;
        insert into payouts.batches (batch_id, payout_window, request_number, content_digest)
        select number || '-G1', payout_window, number, payouts.batch_digest(number)
        from payouts.payouts
        where request_number = number;
    end if;
    batch := payouts.open_batch(number);
    if batch.state = 'approved' then
        raise exception 'request % is approved already, by %', number, batch.approved_by using errcode = 'WC005';
    end if;
    if not exists (select from payouts.payouts where paid_with = number and status = 'ready') then
        raise exception 'request % is blocked: %',
            number,
            (select array_to_string(block_reasons, ', ') from payouts.payouts where request_number = number)
            using errcode = 'WC003';
    end if;
    -- Four eyes are this table's trigger.
    update payouts.batches
    set state = 'approved', approved_by = actor, approved_at = clock_timestamp()
    where batch_id = batch.batch_id;
    perform payouts.require_second_factor(actor);
    perform payouts.audit(
        actor, 'request approve', 'request:' || number, jsonb_build_object('batch', batch.batch_id),
        jsonb_build_object('state', 'approved', 'content_digest', batch.content_digest)
    );
end
$$;

-- Reject a request, also an approved one that has not left: its money is back in the balance.
create function payouts.reject_request(number text, why text, actor text) returns void language plpgsql as $$
declare
    request payouts.payout_requests;
    batch payouts.batches;
begin
    perform payouts.refuse_other_name(actor);
    lock table payouts.turns in row exclusive mode;
    request := payouts.lock_request(number);
    if request.decision = 'approved' then
        batch := payouts.open_batch(number);
        update payouts.payouts
        set status = 'blocked', block_reasons = array_append(block_reasons, 'request_rejected')
        where request_number = number and status in ('ready', 'blocked');
        perform payouts.renew_batch(batch);
    end if;
    update payouts.payout_requests
    set decision = 'rejected', decided_by = actor, decided_at = clock_timestamp(), decision_reason = why
    where request_number = number;
    perform payouts.audit(
        actor, 'request reject', 'request:' || number,
        jsonb_build_object('decision', request.decision), jsonb_build_object('decision', 'rejected'), why
    );
end
$$;

create function payouts.create_schedule(
    its_seller text, its_currency text, its_amount numeric, its_trigger text, about_order text,
    when_due timestamptz, its_note text, actor text
) returns text language plpgsql as $$
declare
    number text;
begin
    perform payouts.refuse_other_name(actor);
    perform payouts.lock_audit_chain();
    if its_amount <= 0 or its_amount <> round(its_amount, 2) then
        raise exception 'a schedule of % is none: give a positive amount with at most two decimals', its_amount
            using errcode = 'WC003';
    end if;
    if not exists (select from staging.stg_sellers where seller_id = its_seller) then
        raise exception 'there is no seller %', its_seller using errcode = 'WC003';
    end if;
    if about_order is not null and not exists (
        select from staging.stg_orders
        where
            (order_id, seller_id, currency) = (about_order, its_seller, its_currency)
            and guarantee_ends_at is not null
    ) then
        raise exception 'seller % has no order % with a guarantee in %', its_seller, about_order, its_currency
            using errcode = 'WC003';
    end if;
    -- A command whose connection broke after its commit is run again.
    select schedule_number into number
    from payouts.payout_schedules
    where
        status in ('pending', 'processing')
        and (seller_id, currency, amount, trigger_event, note, created_by)
        = (its_seller, its_currency, its_amount, its_trigger, its_note, actor)
        and (order_id, due_at) is not distinct from (about_order, when_due);
    if found then
        raise exception '% is just that already: another note tells two apart', number using errcode = 'WC005';
    end if;
    insert into payouts.payout_schedules (
        seller_id, currency, amount, trigger_event, note, order_id, due_at, created_by
    )
    values (its_seller, its_currency, its_amount, its_trigger, its_note, about_order, when_due, actor)
    returning schedule_number into number;
    perform payouts.audit(
        actor, 'schedule create', 'schedule:' || number, null,
        jsonb_build_object(
            'seller', its_seller, 'currency', its_currency, 'amount', its_amount, 'trigger', its_trigger,
            'order', about_order, 'due_at', when_due
        ),
        its_note
    );
    return number;
end
$$;

-- A schedule that can still go on, locked. Whoever comes second waits, and finds what the first has left.
create function payouts.lock_schedule(number text, expected text []) returns payouts.payout_schedules
language plpgsql as $$
declare
    schedule payouts.payout_schedules;
begin
    select * into schedule from payouts.payout_schedules where schedule_number = number for update;
    if not found then
        raise exception 'there is no schedule %', number using errcode = 'WC005';
    end if;
    if schedule.status <> all(expected) then
        raise exception 'schedule % is % already', number, schedule.status using errcode = 'WC005';
    end if;
    return schedule;
end
$$;

-- One try of a locked schedule: a request, or a later try, or the end. Returns what it came to.
create function payouts.try_schedule(schedule payouts.payout_schedules, at_instant timestamptz, actor text)
returns text language plpgsql as $$
declare
    most_tries constant integer := 3;
    backoff constant interval := '5 minutes';
    tries integer := schedule.retry_count + 1;
    made text;
    outcome text;
    said text;
begin
    update payouts.payout_schedules
    set
        status = 'processing',
        next_try_at = at_instant,
        triggered_by = coalesce(triggered_by, actor),
        triggered_at = coalesce(triggered_at, at_instant)
    where schedule_number = schedule.schedule_number;
    begin
        made := payouts.note_request(
            schedule.seller_id, schedule.currency, schedule.amount,
            schedule.trigger_event || ': ' || schedule.note, schedule.schedule_number, schedule.created_by, actor
        );
        outcome := 'completed';
        update payouts.payout_schedules
        set status = 'completed', next_try_at = null, ended_by = actor, ended_at = clock_timestamp()
        where schedule_number = schedule.schedule_number;
    exception
        -- What the books refuse may be true later; anything else is a defect, and ends the job.
        when sqlstate 'WC003' or sqlstate 'WC005' then
            said := sqlerrm;
            outcome := case when tries = most_tries then 'failed' else 'processing' end;
            update payouts.payout_schedules
            set
                status = outcome,
                retry_count = tries,
                last_error = said,
                -- Twice as long each time, and up to half as much more: not all at the same instant.
                next_try_at = case
                    when tries < most_tries then at_instant + backoff * 2 ^ (tries - 1) * (1 + random() / 2)
                end,
                ended_by = case when tries = most_tries then actor end,
                ended_at = case when tries = most_tries then clock_timestamp() end
            where schedule_number = schedule.schedule_number;
    end;
    perform payouts.audit(
        actor, 'schedule ' || case outcome when 'completed' then 'process' when 'failed' then 'fail' else 'try' end,
        'schedule:' || schedule.schedule_number,
        jsonb_build_object('status', schedule.status, 'retry_count', schedule.retry_count),
        jsonb_build_object('status', outcome, 'request', made, 'error', said)
    );
    return outcome;
end
$$;

-- Try every schedule whose time has come by an instant. Two who run at once share the work: what one has in
-- hand, the other leaves alone.
create function payouts.run_schedules(at_instant timestamptz, actor text)
returns table (schedule_number text, status text) language plpgsql as $$
#variable_conflict use_column
declare
    schedule payouts.payout_schedules;
begin
    perform payouts.refuse_other_name(actor);
    perform payouts.release_due_holds(at_instant, actor);
    -- Whoever cancels several has it while he waits for a row: here it comes before the rows.
    perform payouts.lock_audit_chain();
    for schedule in
        select schedules.* from payouts.payout_schedules as schedules
        left join staging.stg_orders as orders on schedules.order_id = orders.order_id
        where
            schedules.status in ('pending', 'processing')
            and coalesce(schedules.next_try_at, schedules.due_at, orders.guarantee_ends_at) <= at_instant
        order by schedules.schedule_number collate "C"
        for update of schedules skip locked
    loop
        schedule_number := schedule.schedule_number;
        status := payouts.try_schedule(schedule, at_instant, actor);
        return next;
    end loop;
end
$$;

-- A person says that its time has come, or does not want to wait for the next try.
create function payouts.trigger_schedule(number text, actor text) returns text language plpgsql as $$
declare
    schedule payouts.payout_schedules;
begin
    perform payouts.refuse_other_name(actor);
    schedule := payouts.lock_schedule(number, array['pending', 'processing']);
    perform payouts.release_due_holds(clock_timestamp(), actor);
    return payouts.try_schedule(schedule, clock_timestamp(), actor);
end
$$;

-- What failed for good is listed until somebody puts it aside.
create function payouts.cancel_schedule(number text, why text, actor text) returns void language plpgsql as $$
declare
    schedule payouts.payout_schedules;
begin
    perform payouts.refuse_other_name(actor);
    schedule := payouts.lock_schedule(number, array['pending', 'processing', 'failed']);
    update payouts.payout_schedules
    set
        status = 'cancelled', cancel_reason = why, next_try_at = null, ended_by = actor,
        ended_at = clock_timestamp()
    where schedule_number = number;
    perform payouts.audit(
        actor, 'schedule cancel', 'schedule:' || number, jsonb_build_object('status', schedule.status),
        jsonb_build_object('status', 'cancelled'), why
    );
end
$$;

-- From here on: as it was, by what leaves together instead of by window.
drop function payouts.batch_digest(date);

-- What an approver binds himself to: the frozen content or the request, and which payouts are to go out.
create function payouts.batch_digest(digested text) returns text language sql stable as $$
    select encode(sha256(convert_to(
        coalesce(
            (
                select content_digest from payouts.frozen_windows
                where payouts.paid_with(payout_window, null) = digested
            ),
            (
                select jsonb_build_array(
                    payout_number, seller_id, currency, amount, rail, destination
                )::text
                from payouts.payouts
                where request_number = digested
            )
        ) || coalesce(
            string_agg(
                e'\n' || jsonb_build_array(payout_number, status, block_reasons)::text, ''
                order by payout_number collate "C"
            ),
            ''
        ),
        'UTF8'
    )), 'hex')
    from payouts.payouts
    where paid_with = digested
$$;

-- As it was: what is requested later is none of what was frozen.
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
        where payout_window = digested_window and request_number is null
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

drop function payouts.open_batch(date);

-- 'window 2026-11-01', 'request REQ0000001'.
create function payouts.group_in_words(named text) returns text language sql immutable as $$
    select case when named like 'W%' then 'window ' || substr(named, 2) else 'request ' || named end
$$;

create function payouts.open_batch(decided text) returns payouts.batches language plpgsql as $$
declare
    batch payouts.batches;
begin
    select * into batch
    from payouts.batches
    where paid_with = decided and state <> 'rejected'
    for update;
    if not found then
        raise exception '% has no batch: it is not frozen, or pays nobody', payouts.group_in_words(decided)
            using errcode = 'WC005';
    end if;
    if batch.state not in ('frozen', 'approved') then
        raise exception 'batch % is %: it cannot be decided on any more', batch.batch_id, batch.state
            using errcode = 'WC003';
    end if;
    return batch;
end
$$;

create or replace function payouts.renew_batch(batch payouts.batches) returns text language plpgsql as $$
declare
    digest text := payouts.batch_digest(batch.paid_with);
begin
    update payouts.batches
    set content_digest = digest, state = 'frozen', approved_by = null, approved_at = null
    where batch_id = batch.batch_id;
    return digest;
end
$$;

create or replace function payouts.has_rolled(payout payouts.payouts)
returns boolean language sql stable as $$
    select payout.status in ('blocked', 'failed', 'returned') and exists (
        select from payouts.frozen_windows as later
        where later.payout_window > payout.payout_window and later.frozen_at >= payout.status_changed_at
    )
    -- Or what failed was requested since.
    or payout.status in ('failed', 'returned') and exists (
        select from payouts.payouts as requested
        where
            requested.request_number is not null
            and (requested.seller_id, requested.currency) = (payout.seller_id, payout.currency)
            and requested.status <> 'blocked'
            and requested.created_at >= payout.status_changed_at
    )
$$;

create or replace function payouts.hold(held_window date, held_seller text, why text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
    payout payouts.payouts;
    held integer := 0;
begin
    batch := payouts.open_batch(payouts.paid_with(held_window, null));
    if exists (
        select from payouts.holds
        where seller_id = held_seller and payout_window = held_window and released_at is null
    ) then
        raise exception 'seller % is on hold in window % already', held_seller, held_window
            using errcode = 'WC005';
    end if;
    for payout in
        select * from payouts.payouts
        where
            paid_with = payouts.paid_with(held_window, null)
            and seller_id = held_seller
            and status in ('ready', 'blocked')
        order by payout_number
        for update
    loop
        update payouts.payouts
        set
            status = 'blocked',
            block_reasons = array_append(block_reasons, 'on_hold'),
            status_changed_at = case when status = 'ready' then now() else status_changed_at end
        where payout_number = payout.payout_number;
        held := held + 1;
    end loop;
    if held = 0 then
        raise exception 'seller % has no payout in window % to hold', held_seller, held_window
            using errcode = 'WC005';
    end if;
    insert into payouts.holds (seller_id, payout_window, reason, held_by)
    values (held_seller, held_window, why, actor);
    return payouts.audit(
        actor, 'hold', format('window:%s seller:%s', held_window, held_seller),
        jsonb_build_object('content_digest', batch.content_digest),
        jsonb_build_object('content_digest', payouts.renew_batch(batch)), why
    );
end
$$;

create or replace function payouts.lift(lifted_window date, lifted_seller text, lifted_reason text)
returns integer language plpgsql as $$
declare
    payout payouts.payouts;
    lifted integer := 0;
begin
    for payout in
        select * from payouts.payouts
        where
            paid_with = payouts.paid_with(lifted_window, null)
            and seller_id = lifted_seller
            and status = 'blocked'
            and lifted_reason = any(block_reasons)
        order by payout_number
        for update
    loop
        if payouts.has_rolled(payout) then
            raise exception 'payout % has rolled: its money is in a later window''s carry-in', payout.payout_number
                using errcode = 'WC003';
        end if;
        update payouts.payouts
        set
            block_reasons = array_remove(block_reasons, lifted_reason),
            status = case when block_reasons = array[lifted_reason] then 'ready' else 'blocked' end,
            status_changed_at = case
                when block_reasons = array[lifted_reason] then now() else status_changed_at
            end
        where payout_number = payout.payout_number;
        lifted := lifted + 1;
    end loop;
    return lifted;
end
$$;

create or replace function payouts.release(released_window date, released_seller text, why text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
begin
    batch := payouts.open_batch(payouts.paid_with(released_window, null));
    update payouts.holds
    set released_by = actor, released_at = now()
    where seller_id = released_seller and payout_window = released_window and released_at is null;
    if not found then
        raise exception 'seller % is not on hold in window %', released_seller, released_window
            using errcode = 'WC005';
    end if;
    perform payouts.lift(released_window, released_seller, 'on_hold');
    return payouts.audit(
        actor, 'release', format('window:%s seller:%s', released_window, released_seller),
        jsonb_build_object('content_digest', batch.content_digest),
        jsonb_build_object('content_digest', payouts.renew_batch(batch)), why
    );
end
$$;

create or replace function payouts.clear(cleared_seller text, why text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
    latest date := (select max(payout_window) from payouts.frozen_windows);
    digests jsonb := '{}';
begin
    insert into payouts.clearances (seller_id, reason, cleared_by) values (cleared_seller, why, actor);
    if exists (
        select from payouts.payouts
        where
            paid_with = payouts.paid_with(latest, null)
            and seller_id = cleared_seller
            and status = 'blocked'
            and 'manual_review' = any(block_reasons)
    ) then
        batch := payouts.open_batch(payouts.paid_with(latest, null));
        perform payouts.lift(latest, cleared_seller, 'manual_review');
        digests := jsonb_build_object('window', latest, 'content_digest', payouts.renew_batch(batch));
    end if;
    return payouts.audit(actor, 'clear', format('seller:%s', cleared_seller), null, digests, why);
end
$$;

create or replace function payouts.approve(approved_window date, seen_digest text, actor text)
returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    batch payouts.batches;
begin
    batch := payouts.open_batch(payouts.paid_with(approved_window, null));
    if batch.content_digest <> seen_digest then
        raise exception 'the content of window % has changed: its digest is now %',
            approved_window, batch.content_digest
            using errcode = 'WC003';
    end if;
    if batch.state = 'approved' then
        raise exception 'window % is approved already, by %', approved_window, batch.approved_by
            using errcode = 'WC005';
    end if;
    if not exists (
        select from payouts.payouts
        where paid_with = batch.paid_with and status = 'ready'
    ) then
        raise exception 'window % has no payout that is ready', approved_window using errcode = 'WC005';
    end if;
    -- Four eyes are this table's trigger.
    update payouts.batches
    set state = 'approved', approved_by = actor, approved_at = clock_timestamp()
    where batch_id = batch.batch_id;
    perform payouts.require_second_factor(actor);
    return payouts.audit(
        actor, 'approve', format('batch:%s', batch.batch_id),
        jsonb_build_object('state', 'frozen'),
        jsonb_build_object('state', 'approved', 'content_digest', seen_digest)
    );
end
$$;

drop function payouts.order_resend(date, text, text);

create function payouts.order_resend(ordered text, seen_digest text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
begin
    select * into batch
    from payouts.batches
    where paid_with = ordered and state <> 'rejected'
    for update;
    if batch.state is distinct from 'submitting' then
        raise exception '% has no batch whose outcome is unknown', payouts.group_in_words(ordered)
            using errcode = 'WC005';
    end if;
    if batch.content_digest <> seen_digest then
        raise exception 'the digest of batch % is %', batch.batch_id, batch.content_digest
            using errcode = 'WC003';
    end if;
    if exists (
        select from payouts.submit_attempts as attempts
        where attempts.batch_id = batch.batch_id and attempts.actor = order_resend.actor
    ) then
        raise exception '% submitted batch %: another person has to order this', actor, batch.batch_id
            using errcode = 'WC003';
    end if;
    update payouts.batches
    set resend_ordered_by = actor, resend_ordered_at = clock_timestamp()
    where batch_id = batch.batch_id;
    perform payouts.require_second_factor(actor);
    return payouts.audit(
        actor, 'order resend', 'batch:' || batch.batch_id, null,
        jsonb_build_object('content_digest', seen_digest)
    );
end
$$;

-- As it was, and for who requested, or made or triggered the schedule.
create or replace function payouts.check_approval() returns trigger language plpgsql as $$
declare
    deed text;
    approved text := payouts.paid_with(new.payout_window, new.request_number);
begin
    select deeds.deed into deed
    from (
        select 'froze' as deed, frozen_by as actor
        from payouts.frozen_windows
        where payouts.paid_with(payout_window, null) = approved
        union all
        select 'held', held_by from payouts.holds where payouts.paid_with(payout_window, null) = approved
        union all
        select 'released', released_by from payouts.holds where payouts.paid_with(payout_window, null) = approved
        union all
        select 'requested', requested_by from payouts.payout_requests where request_number = approved
        union all
        select deeds.deed || ' the schedule of', deeds.actor
        from payouts.payout_requests as requests
        inner join payouts.payout_schedules as schedules on requests.schedule_number = schedules.schedule_number
        cross join lateral (
            values
            ('made', schedules.created_by), ('triggered', schedules.triggered_by), ('triggered', schedules.ended_by)
        ) as deeds (deed, actor)
        where requests.request_number = approved
        union all
        select 'cleared', clearances.cleared_by
        from payouts.clearances
        inner join payouts.payouts on clearances.seller_id = payouts.seller_id
        inner join payouts.frozen_windows on payouts.payout_window = frozen_windows.payout_window
        where
            payouts.paid_with = approved
            and clearances.cleared_at >= frozen_windows.frozen_at
        union all
        -- Of what the window's payouts pay, also where it entered an earlier one.
        select deeds.deed || ' ' || adjustments.adjustment_number, deeds.actor
        from payouts.frozen_lines as lines
        inner join payouts.payout_coverage as coverage on lines.payout_window = coverage.payout_window
        inner join payouts.payouts
            on
                coverage.payout_number = payouts.payout_number
                and lines.seller_id = payouts.seller_id
                and lines.currency = payouts.currency
        inner join payouts.adjustments on lines.source_id = adjustments.adjustment_number
        left join payouts.exceptions
            on
                adjustments.adjustment_number = exceptions.adjustment_number
                and exceptions.decision = 'approved'
        cross join lateral (
            values
            ('proposed', adjustments.proposed_by),
            ('selected', case when adjustments.mode = 'manual' then adjustments.approved_by end),
            ('asked to deviate from', exceptions.requested_by)
        ) as deeds (deed, actor)
        where payouts.paid_with = approved and lines.kind = 'adjustment'
    ) as deeds
    where deeds.actor = new.approved_by
    limit 1;
    if found then
        raise exception '% % %: another person has to approve it',
            new.approved_by, deed, case when new.request_number is null then 'in ' else '' end
            || payouts.group_in_words(approved)
            using errcode = 'WC003';
    end if;
    select payouts.seller_id || ' in ' || payouts.currency into deed
    from payouts.exceptions
    inner join payouts.adjustments on exceptions.adjustment_number = adjustments.adjustment_number
    inner join payouts.payouts
        on
            adjustments.currency = payouts.currency
            and payouts.seller_id in (adjustments.seller_id, adjustments.applied_to, exceptions.to_seller)
    where
        exceptions.decision is null
        and payouts.paid_with = approved
        and payouts.status = 'ready'
    limit 1;
    if found then
        raise exception 'an exception of seller % is open: weekclose exception list, then approve or reject it', deed
            using errcode = 'WC003';
    end if;
    if new.content_digest <> payouts.batch_digest(approved) then
        raise exception 'batch % is not what its digest says', new.batch_id using errcode = 'WC003';
    end if;
    return new;
end
$$;

create or replace function payouts.guard_batch() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'frozen' then
            raise exception 'batch % cannot begin as %', new.batch_id, new.state
                using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        (old.batch_id, old.payout_window, old.request_number, old.generation, old.created_at)
        is distinct from (new.batch_id, new.payout_window, new.request_number, new.generation, new.created_at)
        or old.rail_batch_id <> new.rail_batch_id
        or (
            old.state not in ('frozen', 'approved')
            and (
                old.content_digest, old.approved_by, old.approved_at, old.idempotency_key, old.rail,
                old.body_hash, old.rejection
            ) is distinct from (
                new.content_digest, new.approved_by, new.approved_at, new.idempotency_key, new.rail,
                new.body_hash, case when old.state = 'rejected' then new.rejection end
            )
        )
    then
        raise exception 'batch % is %: what it was made of does not change', old.batch_id, old.state
            using errcode = 'restrict_violation';
    end if;
    if old.state = 'approved' and new.state <> 'frozen' and old.content_digest <> new.content_digest then
        raise exception 'batch % is approved: other content needs another approval', old.batch_id
            using errcode = 'restrict_violation';
    end if;
    if
        (old.state, new.state) not in (
            ('frozen', 'frozen'), ('frozen', 'approved'), ('approved', 'frozen'), ('approved', 'approved'),
            ('approved', 'submitting'), ('submitting', 'submitting'), ('submitting', 'submitted'),
            ('submitting', 'rejected'), ('submitted', 'submitted'), ('submitted', 'settled')
        )
    then
        raise exception 'batch % cannot go from % to %', old.batch_id, old.state, new.state
            using errcode = 'restrict_violation';
    end if;
    if
        old.state = 'approved' and new.state = 'submitting'
        and new.content_digest <> payouts.batch_digest(old.paid_with)
    then
        raise exception 'batch % is not what was approved', old.batch_id using errcode = 'WC003';
    end if;
    return new;
end
$$;

create or replace function payouts.guard_payout() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.status not in ('ready', 'blocked') then
            raise exception 'payout % cannot begin as %', new.payout_number, new.status
                using errcode = 'restrict_violation';
        end if;
        if new.reference_id is not null then
            raise exception 'payout % has a reference before it was paid', new.payout_number
                using errcode = 'restrict_violation';
        end if;
        if new.request_number is not null and not exists (
            select from payouts.payout_requests
            where
                (request_number, seller_id, currency, amount)
                = (new.request_number, new.seller_id, new.currency, new.amount)
                and decision = 'approved'
        ) then
            raise exception 'request % is not approved, or not of what payout % pays',
                new.request_number, new.payout_number
                using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        new.reference_id is distinct from old.reference_id
        and new.reference_id is distinct from (
            select external_reference from payouts.executions
            where payout_number = new.payout_number
            order by execution_id desc
            limit 1
        )
    then
        raise exception 'payout %: its reference is that of its newest execution', old.payout_number
            using errcode = 'restrict_violation';
    end if;
    if
        (
            old.payout_number, old.payout_window, old.seller_id, old.currency, old.amount, old.rail,
            old.destination, old.created_at, old.request_number
        ) is distinct from (
            new.payout_number, new.payout_window, new.seller_id, new.currency, new.amount, new.rail,
            new.destination, new.created_at, new.request_number
        )
    then
        raise exception 'payout %: what was promised does not change', old.payout_number
            using errcode = 'restrict_violation';
    end if;
    if new.status <> old.status then
        if payouts.step(old.status, new.status) is null then
            raise exception 'payout % cannot go from % to %', old.payout_number, old.status, new.status
                using errcode = 'restrict_violation';
        end if;
        if new.status = 'reversed' and not exists (
            select from payouts.reversals where payout_number = new.payout_number
        ) then
            raise exception 'payout % is reversed by payouts.reverse_payout alone', new.payout_number
                using errcode = 'restrict_violation';
        end if;
        -- Not the time at which the transaction began: it may have waited for a freeze.
        new.status_changed_at := clock_timestamp();
    end if;
    return new;
end
$$;

create or replace function payouts.lock_to_book(numbers text []) returns void language plpgsql as $$
begin
    lock table payouts.turns in row exclusive mode;
    perform from payouts.batches
    where batch_id in (
        select batch_id from payouts.batch_items
        where payout_number = any(numbers) and released_at is null
        union all
        select batches.batch_id from payouts.batches
        inner join payouts.payouts on batches.paid_with = payouts.paid_with
        where payouts.payout_number = any(numbers) and batches.state in ('frozen', 'approved')
    )
    order by batch_id
    for update;
    perform from payouts.payouts where payout_number = any(numbers) order by payout_number for update;
    perform payouts.lock_audit_chain();
end
$$;

create or replace function payouts.mark_exceptions(marked_seller text, marked_currency text)
returns void language plpgsql as $$
declare
    is_open boolean := payouts.has_open_exception(marked_seller, marked_currency);
    batch payouts.batches;
    payout payouts.payouts;
begin
    for batch in
        select batches.* from payouts.batches
        inner join payouts.payouts on batches.paid_with = payouts.paid_with
        where
            (payouts.seller_id, payouts.currency) = (marked_seller, marked_currency)
            and payouts.status in ('ready', 'blocked')
            and batches.state in ('frozen', 'approved')
        order by batches.batch_id
        for update of batches
    loop
        select * into payout from payouts.payouts
        where
            (paid_with, seller_id, currency) = (batch.paid_with, marked_seller, marked_currency)
        for update;
        continue when
            payout.status not in ('ready', 'blocked')
            or is_open = ('exception_pending' = any(payout.block_reasons))
            or payouts.has_rolled(payout);
        update payouts.payouts
        set
            block_reasons = case
                when is_open then array_append(block_reasons, 'exception_pending')
                else array_remove(block_reasons, 'exception_pending')
            end,
            status = case
                when is_open or block_reasons <> array['exception_pending'] then 'blocked' else 'ready'
            end
        where payout_number = payout.payout_number;
        perform payouts.renew_batch(batch);
    end loop;
end
$$;

drop function payouts.unready(date);

-- As it was, and a request stays within what floor and holds allow until it leaves.
create function payouts.unready(checked text)
returns table (payout_number text, seller_id text, reason text) language plpgsql stable as $$
begin
    return query execute format(
        $query$
        select ready.payout_number, ready.seller_id, reasons.reason
        from payouts.payouts as ready
        left join %I.sellers on ready.seller_id = sellers.seller_id
        cross join lateral (
            select 'the seller is ' || coalesce(sellers.status, 'gone')
            where sellers.status is distinct from 'active'
            union all
            select 'the wallet has changed since the freeze'
            where sellers.seller_id is not null and sellers.wallet_address is distinct from ready.destination
            union all
            select 'it is on hold'
            from payouts.holds
            where
                holds.seller_id = ready.seller_id
                and holds.payout_window = ready.payout_window
                and holds.released_at is null
            union all
            select 'event ' || min(inbox.event_id) || ' of the rail waits: run weekclose reconcile'
            from payouts.inbox
            where inbox.payout_number = ready.payout_number and inbox.outcome is null
            having count(*) > 0
            union all
            select 'the rail refused ' || batches.batch_id || ', and has it there'
            from payouts.batches
            inner join payouts.rail_states as states
                on batches.batch_id = states.batch_id and states.payout_number = ready.payout_number
            where batches.paid_with = ready.paid_with and states.status in ('processing', 'completed')
            union all
            select 'what it pays for is covered by ' || other.payout_number || ' too'
            from payouts.payout_coverage as own
            inner join payouts.payout_coverage as theirs
                on own.payout_window = theirs.payout_window and own.payout_number <> theirs.payout_number
            inner join payouts.payouts as other
                on
                    theirs.payout_number = other.payout_number
                    and ready.seller_id = other.seller_id
                    and ready.currency = other.currency
            where
                own.payout_number = ready.payout_number
                and other.status in ('submitted', 'paid', 'reversed', 'awaiting_reconciliation')
            union all
            select -parts.available || ' ' || ready.currency || ' more than floor and holds allow'
            from payouts.requestable(ready.seller_id, ready.currency) as parts
            where ready.request_number is not null and parts.available < 0
        ) as reasons (reason)
        where ready.paid_with = $1 and ready.status = 'ready'
        order by ready.payout_number, reasons.reason
        $query$,
        (select settings ->> 'raw_schema' from payouts.frozen_windows order by payout_window desc limit 1)
    ) using checked;
end
$$;

create or replace function payouts.claim_batch(
    claimed_batch text, seen_digest text, through_rail text, made_body bytea, actor text
) returns bigint language plpgsql as $$
declare
    batch payouts.batches;
    going text [];
    offender record;
    attempt bigint;
begin
    lock table payouts.turns in row exclusive mode;
    batch := payouts.lock_batch(claimed_batch, 'approved');
    perform from payouts.payouts where paid_with = batch.paid_with order by payout_number for update;
    if batch.content_digest <> seen_digest then
        raise exception 'the content of % has changed: it needs another approval',
            payouts.group_in_words(batch.paid_with)
            using errcode = 'WC003';
    end if;
    select *, count(*) over () as found into offender from payouts.unready(batch.paid_with) limit 1;
    if found then
        raise exception
            'payout % of seller % may not go out: % (% in all; weekclose %)',
            offender.payout_number, offender.seller_id, offender.reason, offender.found,
            coalesce('requests reject ' || batch.request_number, 'hold, then approve again')
            using errcode = 'WC003';
    end if;
    update payouts.batches
    set
        state = 'submitting',
        idempotency_key = payouts.batch_key(batch),
        rail = through_rail,
        body = made_body,
        body_hash = encode(sha256(made_body), 'hex')
    where batch_id = claimed_batch;
    insert into payouts.batch_items (batch_id, payout_number, seller_id, currency)
    select claimed_batch, payout_number, seller_id, currency
    from payouts.payouts
    where paid_with = batch.paid_with and status = 'ready';
    select array_agg(payout_number) into going from payouts.batch_items where batch_id = claimed_batch;
    perform payouts.move(going, 'submitted', claimed_batch);
    insert into payouts.submit_attempts (batch_id, actor)
    values (claimed_batch, actor)
    returning attempt_id into attempt;
    perform payouts.audit(
        actor, 'submit', 'batch:' || claimed_batch, jsonb_build_object('state', 'approved'),
        jsonb_build_object(
            'state', 'submitting', 'rail', through_rail, 'idempotency_key', payouts.batch_key(batch),
            'body_hash', encode(sha256(made_body), 'hex'), 'items', cardinality(going)
        )
    );
    return attempt;
end
$$;

create or replace function payouts.take_refusal(refused_batch text, said jsonb, actor text)
returns text language plpgsql as $$
declare
    batch payouts.batches;
    released text [];
    contradicted text;
    successor text;
begin
    lock table payouts.turns in row exclusive mode;
    batch := payouts.lock_batch(refused_batch, 'submitting');
    select array_agg(payouts.payout_number) into released
    from payouts.batch_items as items
    inner join payouts.payouts on items.payout_number = payouts.payout_number
    where
        items.batch_id = refused_batch
        -- What a person has paid meanwhile stays paid: the rail never had it.
        and (payouts.rail <> 'MANUAL' or payouts.status = 'submitted');
    select payout_number into contradicted
    from payouts.payouts
    where payout_number = any(released) and status <> 'submitted'
    limit 1;
    if found then
        raise exception 'the rail refuses batch %, but payout % has moved: a person has to look',
            refused_batch, contradicted
            using errcode = 'WC004';
    end if;
    perform payouts.move(released, 'ready', refused_batch);
    update payouts.batches set state = 'rejected', rejection = said where batch_id = refused_batch;
    update payouts.batch_items set released_at = clock_timestamp()
    where batch_id = refused_batch and payout_number = any(released);
    perform payouts.end_attempts(refused_batch, 'refused', coalesce(said ->> 'message', ''));
    successor := format('%s-G%s', batch.paid_with, batch.generation + 1);
    insert into payouts.batches (batch_id, payout_window, request_number, generation, content_digest)
    values (
        successor, batch.payout_window, batch.request_number, batch.generation + 1,
        payouts.batch_digest(batch.paid_with)
    );
    perform payouts.audit(
        actor, 'refusal', 'batch:' || refused_batch, jsonb_build_object('state', 'submitting'),
        jsonb_build_object('state', 'rejected', 'rejection', said, 'successor', successor)
    );
    return successor;
end
$$;

create or replace function payouts.conclude(
    concluded text, told text, told_amount numeric, reference text, code text, why text, executed timestamptz,
    proof_event bigint, proof_batch text, asked timestamptz, actor text
) returns void language plpgsql as $$
declare
    payout payouts.payouts;
    known_amount numeric;
    targets text [] := '{}';
    target text;
    is_new boolean := true;
begin
    perform payouts.lock_to_book(array[concluded]);
    select * into payout from payouts.payouts where payout_number = concluded;
    known_amount := payouts.known_amount(payout);
    if told = 'completed' and payouts.is_known_execution(payout, reference, told_amount) then
        -- A person has decided what this execution means.
        return;
    end if;
    if told = 'completed' and payout.status not in ('paid', 'reversed', 'awaiting_reconciliation') then
        targets := case
            when told_amount <> payout.amount then array['awaiting_reconciliation']
            when payout.status = 'submitted' then array['paid']
            when payout.status = 'failed' and not payouts.has_rolled(payout)
                then array['awaiting_reconciliation', 'paid']
            else array['awaiting_reconciliation']
        end;
    elsif told = 'completed' and payout.status = 'paid' and told_amount <> known_amount then
        targets := array['awaiting_reconciliation'];
    elsif told in ('failed', 'returned') and payout.status = 'paid' and known_amount <> payout.amount then
        -- Not what was promised comes back: a person has accepted another amount.
        targets := array['awaiting_reconciliation'];
    elsif told = 'failed' then
        targets := case payout.status
            when 'submitted' then array['failed'] when 'paid' then array['returned'] else '{}'
        end;
    elsif told = 'returned' then
        targets := case payout.status
            when 'submitted' then array['paid', 'returned'] when 'paid' then array['returned'] else '{}'
        end;
    end if;
    if cardinality(targets) = 0 then
        return;
    end if;
    if told = 'completed' then
        is_new := payouts.note_execution(
            payout, reference, told_amount, executed, proof_event, proof_batch, asked, actor
        );
    end if;
    if not is_new then
        -- The same transfer cannot have paid two payouts.
        targets := array['awaiting_reconciliation'];
    end if;
    -- Said first: whoever is told of the step is told why.
    target := targets[cardinality(targets)];
    update payouts.payouts
    set
        external_reference = coalesce(reference, external_reference),
        failure_code = case when target in ('failed', 'returned') then code end,
        failure_reason = case when target in ('failed', 'returned') then why end
    where payout_number = concluded;
    foreach target in array targets loop
        perform payouts.move_one(concluded, target);
    end loop;
    perform payouts.audit(
        actor, target, 'payout:' || concluded, jsonb_build_object('status', payout.status),
        jsonb_build_object('status', target, 'external_reference', reference, 'amount', told_amount),
        coalesce('event ' || proof_event, 'look-up of batch ' || proof_batch)
    );
    perform payouts.settle(batch_id, actor)
    from payouts.batch_items
    where payout_number = concluded and released_at is null;
    -- What could still be decided on is not what it was: other content, other digest.
    perform payouts.renew_batch(batches)
    from payouts.batches
    where
        paid_with = payout.paid_with
        and state in ('frozen', 'approved')
        and payout.status in ('ready', 'blocked');
end
$$;

create or replace function payouts.freeze_window(
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
    select named || '-G1', due_window, payouts.batch_digest(named)
    from (values (payouts.paid_with(due_window, null))) as due (named)
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
    left join payouts.batches on payouts.paid_with(windows.payout_window, null) = batches.paid_with
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

drop function payouts.payouts_of(text);

create function payouts.payouts_of(asked_seller text)
returns table (
    payout_number text, payout_window date, seller_id text, currency text, amount numeric, rail text,
    destination text, status text, failure_code text, failure_reason text, external_reference text,
    status_changed_at timestamptz, submitted_at timestamptz, paid_at timestamptz, request_number text,
    created_at timestamptz
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        paid.payout_number, paid.payout_window, paid.seller_id, paid.currency, paid.amount, paid.rail,
        paid.destination, paid.status, paid.failure_code, paid.failure_reason, paid.external_reference,
        paid.status_changed_at, steps.submitted_at, steps.paid_at, paid.request_number, paid.created_at
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

do $$
declare
    door text;
begin
    foreach door in array array[
        'hold', 'release', 'clear', 'order_resend', 'claim_batch', 'take_refusal', 'payouts_of',
        'request_payout', 'approve_request', 'reject_request', 'create_schedule', 'run_schedules',
        'trigger_schedule', 'cancel_schedule'
    ] loop
        execute format('alter function payouts.%I security definer set search_path = pg_catalog, pg_temp', door);
    end loop;
end
$$;

grant execute on function
payouts.request_payout, payouts.reject_request, payouts.create_schedule, payouts.run_schedules,
payouts.trigger_schedule, payouts.cancel_schedule
to weekclose_operator;
grant execute on function payouts.approve_request, payouts.reject_request, payouts.order_resend to weekclose_approver;
grant execute on function payouts.payouts_of
to weekclose_operator, weekclose_approver, weekclose_reconciler, weekclose_billing, weekclose_analyst,
weekclose_seller;
