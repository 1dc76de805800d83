-- The outbox: what became of money is told to other programs, at least once and in order, and people are told
-- what needs them. An event is written by the transaction whose change it tells of: it is there if that is,
-- and only then.
set local role weekclose_owner;

-- One row per event. Never removed; all that changes is what became of its delivery.
--
-- Events of two entities may commit in another order than their ids were drawn in. Those of one do not:
-- whoever changes it holds its row from before the id is drawn until the commit.
create table payouts.outbox (
    event_id bigint generated always as identity primary key,
    -- By chance and not by number: after a restore numbers are given again, and a receiver would think that
    -- he has the event already.
    message_id text not null default 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    type text not null,
    entity text not null,
    payload jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    tries integer not null default 0,
    delivered_at timestamptz,
    last_error text,
    next_try_at timestamptz,
    constraint outbox_type_is_of_its_entity check (split_part(type, '.', 1) = split_part(entity, ':', 1)),
    constraint outbox_delivery_is_whole check (
        case
            when tries = 0 then num_nonnulls(delivered_at, last_error, next_try_at) = 0
            when delivered_at is null then tries > 0 and num_nonnulls(last_error, next_try_at) = 2
            else tries > 0 and next_try_at is null
        end
    )
);

create index outbox_entity on payouts.outbox (entity, event_id);
create index outbox_waiting on payouts.outbox (event_id) where delivered_at is null;
create index outbox_created on payouts.outbox using brin (created_at);

create function payouts.guard_event() returns trigger language plpgsql as $$
begin
    if
        old.delivered_at is not null
        or new.tries <= old.tries
        or (old.event_id, old.message_id, old.type, old.entity, old.payload, old.created_at)
        is distinct from (new.event_id, new.message_id, new.type, new.entity, new.payload, new.created_at)
    then
        raise exception 'event % is delivered, or was another one: it does not change', old.event_id
            using errcode = 'restrict_violation';
    end if;
    if new.delivered_at is not null and exists (
        select from payouts.outbox
        where entity = new.entity and event_id < new.event_id and delivered_at is null
    ) then
        raise exception 'event % waits for an earlier one of %', new.event_id, new.entity
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger outbox_is_delivered_in_order before update on payouts.outbox
for each row execute function payouts.guard_event();
create trigger outbox_is_never_removed before delete or truncate on payouts.outbox
for each statement execute function payouts.refuse_change();

-- What receivers are told: money as text, instants in UTC, and no address that money could be sent to.
create function payouts.payout_told(payout payouts.payouts) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'payout_number', payout.payout_number, 'payout_window', payout.payout_window,
        'request_number', payout.request_number, 'seller_id', payout.seller_id, 'currency', payout.currency,
        'amount', payout.amount::text, 'rail', payout.rail, 'status', payout.status,
        'block_reasons', payout.block_reasons, 'failure_code', payout.failure_code,
        'failure_reason', payout.failure_reason, 'reference_id', payout.reference_id,
        'status_changed_at', payout.status_changed_at
    )
$$;

create function payouts.adjustment_told(adjustment payouts.adjustments)
returns jsonb language sql stable as $$
    select jsonb_build_object(
        'adjustment_number', adjustment.adjustment_number, 'seller_id', adjustment.seller_id,
        'currency', adjustment.currency, 'class', adjustment.class, 'direction', adjustment.direction,
        'amount', adjustment.amount::text, 'applied_amount', adjustment.applied_amount::text,
        'applied_to', adjustment.applied_to, 'payout_window', adjustment.payout_window,
        'invoice_reference', adjustment.invoice_reference, 'reason', adjustment.reason,
        'status', adjustment.status, 'settled_at', adjustment.settled_at
    )
$$;

create function payouts.escrow_hold_told(escrow payouts.escrow_holds) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'hold_number', escrow.hold_number, 'seller_id', escrow.seller_id, 'currency', escrow.currency,
        'amount', escrow.amount::text, 'reason', escrow.reason, 'order_id', escrow.order_id,
        'payout_number', escrow.payout_number, 'release_at', escrow.release_at, 'status', escrow.status,
        'held_at', escrow.held_at, 'ended_at', escrow.ended_at
    )
$$;

create function payouts.request_told(request payouts.payout_requests) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'request_number', request.request_number, 'seller_id', request.seller_id,
        'currency', request.currency, 'amount', request.amount::text, 'reason', request.reason,
        'schedule_number', request.schedule_number, 'requested_at', request.requested_at,
        'decision', request.decision, 'decision_reason', request.decision_reason,
        'decided_at', request.decided_at
    )
$$;

create function payouts.payout_schedule_told(schedule payouts.payout_schedules)
returns jsonb language sql stable as $$
    select jsonb_build_object(
        'schedule_number', schedule.schedule_number, 'seller_id', schedule.seller_id,
        'currency', schedule.currency, 'amount', schedule.amount::text,
        'trigger_event', schedule.trigger_event, 'order_id', schedule.order_id, 'due_at', schedule.due_at,
        'status', schedule.status, 'retry_count', schedule.retry_count, 'last_error', schedule.last_error,
        'next_try_at', schedule.next_try_at, 'cancel_reason', schedule.cancel_reason
    )
$$;

-- One statement, one insert, however many rows it changed. There is no list of columns: what a trigger reads
-- of before and after is there only without one.
create function payouts.tell_of_payouts() returns trigger language plpgsql
set timezone = 'UTC' as $$
begin
    if tg_op = 'INSERT' then
        insert into payouts.outbox (type, entity, payload)
        select 'payout.' || status, 'payout:' || payout_number, payouts.payout_told(changed)
        from changed
        order by payout_number collate "C";
    else
        insert into payouts.outbox (type, entity, payload)
        select
            'payout.' || changed.status,
            'payout:' || changed.payout_number,
            payouts.payout_told(changed)
        from changed
        inner join before on changed.payout_number = before.payout_number
        where changed.status <> before.status
        order by changed.payout_number collate "C";
    end if;
    return null;
end
$$;

create trigger payouts_tell_that_they_are after insert on payouts.payouts
referencing new table as changed for each statement execute function payouts.tell_of_payouts();
create trigger payouts_tell_what_becomes_of_them after update on payouts.payouts
referencing old table as before new table as changed
for each statement execute function payouts.tell_of_payouts();

create function payouts.tell_of_adjustments() returns trigger language plpgsql
set timezone = 'UTC' as $$
begin
    if tg_op = 'INSERT' then
        insert into payouts.outbox (type, entity, payload)
        select 'adjustment.' || status, 'adjustment:' || adjustment_number, payouts.adjustment_told(changed)
        from changed
        order by adjustment_number collate "C";
    else
        insert into payouts.outbox (type, entity, payload)
        select
            'adjustment.' || changed.status,
            'adjustment:' || changed.adjustment_number,
            payouts.adjustment_told(changed)
        from changed
        inner join before on changed.adjustment_number = before.adjustment_number
        where changed.status <> before.status
        order by changed.adjustment_number collate "C";
    end if;
    return null;
end
$$;

create trigger adjustments_tell_that_they_are after insert on payouts.adjustments
referencing new table as changed for each statement execute function payouts.tell_of_adjustments();
create trigger adjustments_tell_what_becomes_of_them after update on payouts.adjustments
referencing old table as before new table as changed
for each statement execute function payouts.tell_of_adjustments();

create function payouts.tell_of_escrow_holds() returns trigger language plpgsql
set timezone = 'UTC' as $$
begin
    if tg_op = 'INSERT' then
        insert into payouts.outbox (type, entity, payload)
        select 'escrow_hold.created', 'escrow_hold:' || hold_number, payouts.escrow_hold_told(changed)
        from changed
        order by hold_number collate "C";
    else
        insert into payouts.outbox (type, entity, payload)
        select
            'escrow_hold.' || changed.status,
            'escrow_hold:' || changed.hold_number,
            payouts.escrow_hold_told(changed)
        from changed
        inner join before on changed.hold_number = before.hold_number
        where changed.status <> before.status
        order by changed.hold_number collate "C";
    end if;
    return null;
end
$$;

create trigger escrow_holds_tell_that_they_are after insert on payouts.escrow_holds
referencing new table as changed for each statement execute function payouts.tell_of_escrow_holds();
create trigger escrow_holds_tell_what_becomes_of_them after update on payouts.escrow_holds
referencing old table as before new table as changed
for each statement execute function payouts.tell_of_escrow_holds();

create function payouts.tell_of_payout_requests() returns trigger language plpgsql
set timezone = 'UTC' as $$
begin
    if tg_op = 'INSERT' then
        insert into payouts.outbox (type, entity, payload)
        select 'request.created', 'request:' || request_number, payouts.request_told(changed)
        from changed
        order by request_number collate "C";
    else
        insert into payouts.outbox (type, entity, payload)
        select
            'request.' || changed.decision,
            'request:' || changed.request_number,
            payouts.request_told(changed)
        from changed
        inner join before on changed.request_number = before.request_number
        where changed.decision is distinct from before.decision
        order by changed.request_number collate "C";
    end if;
    return null;
end
$$;

create trigger payout_requests_tell_that_they_are after insert on payouts.payout_requests
referencing new table as changed for each statement execute function payouts.tell_of_payout_requests();
create trigger payout_requests_tell_what_becomes_of_them after update on payouts.payout_requests
referencing old table as before new table as changed
for each statement execute function payouts.tell_of_payout_requests();

create function payouts.tell_of_payout_schedules() returns trigger language plpgsql
set timezone = 'UTC' as $$
begin
    if tg_op = 'INSERT' then
        insert into payouts.outbox (type, entity, payload)
        select
            'payout_schedule.created',
            'payout_schedule:' || schedule_number,
            payouts.payout_schedule_told(changed)
        from changed
        order by schedule_number collate "C";
    else
        insert into payouts.outbox (type, entity, payload)
        select
            'payout_schedule.' || case changed.status
                when 'processing' then 'triggered' when 'completed' then 'processed' else changed.status
            end,
            'payout_schedule:' || changed.schedule_number,
            payouts.payout_schedule_told(changed)
        from changed
        inner join before on changed.schedule_number = before.schedule_number
        where changed.status <> before.status
        order by changed.schedule_number collate "C";
    end if;
    return null;
end
$$;

create trigger payout_schedules_tell_that_they_are after insert on payouts.payout_schedules
referencing new table as changed for each statement execute function payouts.tell_of_payout_schedules();
create trigger payout_schedules_tell_what_becomes_of_them after update on payouts.payout_schedules
referencing old table as before new table as changed
for each statement execute function payouts.tell_of_payout_schedules();

-- After 1, 2, 4, ... minutes, at most about an hour, and up to half as much more: not all at the same
-- instant.
create function payouts.next_try(tries integer) returns timestamptz language sql volatile as $$
    select clock_timestamp() + interval '1 minute' * 2 ^ least(tries - 1, 6) * (1 + random() / 2)
$$;

-- Note what became of deliveries: `problems` says for each event what was in the way, null if nothing was.
-- What somebody else has noted as delivered meanwhile stays so.
create function payouts.note_deliveries(events bigint [], problems text []) returns void language sql as $$
    update payouts.outbox
    set
        tries = tries + 1,
        delivered_at = case when told.problem is null then clock_timestamp() end,
        last_error = coalesce(told.problem, last_error),
        next_try_at = case when told.problem is not null then payouts.next_try(tries + 1) end
    from unnest(events, problems) as told (event_id, problem)
    where outbox.event_id = told.event_id and outbox.delivered_at is null
$$;

-- One row per thing, channel and recipient: who was told what. Never removed; all that changes is what became
-- of its delivery. A seller has no address here: what he is to hear goes through the outbox to the platform,
-- which knows him, and is delivered when that has taken it.
create table payouts.notifications (
    notification_id bigint generated always as identity primary key,
    about text not null,
    event_id bigint references payouts.outbox,
    channel text not null,
    recipient text not null,
    message text not null,
    created_at timestamptz not null default clock_timestamp(),
    tries integer not null default 0,
    delivered_at timestamptz,
    last_error text,
    next_try_at timestamptz,
    constraint notifications_once unique (about, channel, recipient),
    constraint notifications_channel_is_known check (channel in ('smtp', 'slack', 'stdout', 'outbox')),
    constraint notifications_through_the_outbox_are_events
    check (channel <> 'outbox' or event_id is not null),
    constraint notifications_delivery_is_whole check (
        case
            when tries = 0 then num_nonnulls(delivered_at, last_error, next_try_at) = 0
            when delivered_at is null then tries > 0 and num_nonnulls(last_error, next_try_at) = 2
            else tries > 0 and next_try_at is null
        end
    )
);

create index notifications_waiting on payouts.notifications (notification_id)
where delivered_at is null;

create function payouts.guard_notification() returns trigger language plpgsql as $$
begin
    if
        old.delivered_at is not null
        or new.tries <= old.tries
        or (
            old.notification_id, old.about, old.event_id, old.channel, old.recipient, old.message,
            old.created_at
        ) is distinct from (
            new.notification_id, new.about, new.event_id, new.channel, new.recipient, new.message,
            new.created_at
        )
    then
        raise exception 'notification % is delivered, or was another one: it does not change',
            old.notification_id
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger notifications_are_delivered_once before update on payouts.notifications
for each row execute function payouts.guard_notification();
create trigger notifications_are_never_removed before delete or truncate on payouts.notifications
for each statement execute function payouts.refuse_change();

-- What somebody has to know: events of the last days, and what is wrong for as long as it is. Whoever is told
-- for the first time does not get the news of a year.
create function payouts.news()
returns table (about text, event_id bigint, is_for_admins boolean, of_seller text, message text)
language plpgsql stable as $$
#variable_conflict use_column
begin
    return query
    select
        'event:' || event_id,
        event_id,
        type <> 'payout.paid',
        case
            when type in ('request.approved', 'request.rejected') or type like 'payout.%' and is_of_request
                then payload ->> 'seller_id'
        end,
        format(
            '%s %s %s: %s %s of seller %s%s', replace(split_part(type, '.', 1), '_', ' '),
            split_part(entity, ':', 2), replace(split_part(type, '.', 2), '_', ' '), payload ->> 'amount',
            payload ->> 'currency',
            payload ->> 'seller_id',
            ' (' || coalesce(
                payload ->> 'failure_reason', payload ->> 'last_error',
                nullif(payload ->> 'decision_reason', ''), payload ->> 'reason'
            ) || ')'
        )
    from payouts.outbox
    cross join lateral (select coalesce(payload ->> 'request_number' <> '', false)) as of (is_of_request)
    where
        created_at > clock_timestamp() - interval '7 days'
        and (
            type in (
                'request.created', 'request.approved', 'request.rejected', 'payout_schedule.failed',
                'payout.failed', 'payout.returned', 'payout.awaiting_reconciliation'
            )
            or (type = 'payout.paid' and is_of_request)
        )
    union all
    select
        'overdue:' || hold_number, null, true, null,
        format(
            'hold %s is over since %s and still keeps %s %s of seller %s', hold_number,
            to_char(release_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), amount, currency, seller_id
        )
    from payouts.escrow_holds
    where status = 'active' and release_at <= clock_timestamp();
    if to_regclass('marts.reconciliation_breaks') is not null then
        return query
        select
            'break:' || break_type || ':' || entity, null::bigint, true, null,
            format(
                'break %s: %s, expected %s, actual %s %s', replace(break_type, '_', ' '), entity,
                coalesce(expected::text, 'nothing'), coalesce(actual::text, 'nothing'), currency
            )
        from marts.reconciliation_breaks;
    end if;
end
$$;

-- Note whom to tell what: each thing once for each of the channels and their recipients. Returns how many are
-- new.
create function payouts.gather_notifications(channels text [], recipients text [])
returns bigint language plpgsql as $$
declare
    gathered bigint;
begin
    insert into payouts.notifications (about, event_id, channel, recipient, message)
    select news.about, news.event_id, told.channel, told.recipient, news.message
    from payouts.news() as news
    cross join lateral (
        select channel, recipient from unnest(channels, recipients) as given (channel, recipient)
        where news.is_for_admins
        union all
        select 'outbox', 'seller:' || news.of_seller where news.of_seller is not null
    ) as told
    where not exists (
        select from payouts.notifications
        where
            (notifications.about, notifications.channel, notifications.recipient)
            = (news.about, told.channel, told.recipient)
    )
    order by news.event_id nulls last, news.about collate "C"
    on conflict do nothing;
    get diagnostics gathered = row_count;
    -- What the platform has taken.
    update payouts.notifications
    set tries = events.tries, delivered_at = events.delivered_at, last_error = events.last_error
    from payouts.outbox as events
    where
        notifications.event_id = events.event_id
        and notifications.channel = 'outbox'
        and notifications.delivered_at is null
        and events.delivered_at is not null;
    return gathered;
end
$$;

-- As `note_deliveries`; all of them have gone in one message, or stayed because of one problem.
create function payouts.note_notifications(noted bigint [], problem text) returns void language sql as $$
    update payouts.notifications
    set
        tries = tries + 1,
        delivered_at = case when problem is null then clock_timestamp() end,
        last_error = coalesce(problem, last_error),
        next_try_at = case when problem is not null then payouts.next_try(tries + 1) end
    where notification_id = any(noted) and delivered_at is null
$$;

do $$
declare
    door text;
begin
    foreach door in array array['note_deliveries', 'gather_notifications', 'note_notifications'] loop
        execute format(
            'alter function payouts.%I security definer set search_path = pg_catalog, pg_temp', door
        );
    end loop;
end
$$;

grant execute on function payouts.note_deliveries, payouts.gather_notifications, payouts.note_notifications
to weekclose_operator;
