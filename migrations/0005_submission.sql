-- Tuesday: a batch leaves once, the rail's answers are booked once, and whatever else is tried is refused.
--
-- Where a payout stands is where the ledger has its money. The functions below move both together; triggers
-- see to it that nothing else does. SQLSTATE WC003 is a guard's no, WC004 an outcome that nobody knows yet,
-- WC005 nothing to do.

alter table payouts.ledger_transactions drop constraint ledger_transactions_kind_is_known;
alter table payouts.ledger_transactions add constraint ledger_transactions_kind_is_known
check (kind in ('freeze', 'submit', 'release', 'pay', 'fail', 'return', 'reopen'));

-- When it was booked, not when its transaction began: it may have waited for a freeze.
alter table payouts.ledger_transactions alter column booked_at set default clock_timestamp();

-- The first entry of a transaction is found at once, whatever the planner believes of the rest.
drop index payouts.ledger_entries_transaction;
create index ledger_entries_transaction on payouts.ledger_entries (transaction_id, entry_id);
create index ledger_entries_payout on payouts.ledger_entries (payout_number) where payout_number is not null;
create index ledger_transactions_booked_at on payouts.ledger_transactions using brin (booked_at);
create index payouts_unfinished on payouts.payouts (payout_window)
where status in ('submitted', 'awaiting_reconciliation');

-- As it was, but transaction by transaction: statistics that are a moment old know of none of them.
create or replace function payouts.book_entries() returns trigger language plpgsql as $$
declare
    offender record;
    booked record;
begin
    select added.transaction_id, added.currency, sum(added.amount) as off_by
    into offender
    from added
    group by added.transaction_id, added.currency
    having sum(added.amount) <> 0
    limit 1;
    if found then
        raise exception 'ledger transaction % is off by % %',
            offender.transaction_id, offender.off_by, offender.currency
            using errcode = 'check_violation';
    end if;

    for booked in
        select added.transaction_id, min(added.entry_id) as first_entry
        from added
        group by added.transaction_id
    loop
        if
            (
                select transactions.booked_in from payouts.ledger_transactions as transactions
                where transactions.transaction_id = booked.transaction_id
            ) <> pg_current_xact_id()
            or (
                select min(entries.entry_id) from payouts.ledger_entries as entries
                where entries.transaction_id = booked.transaction_id
            ) < booked.first_entry
        then
            raise exception 'ledger transaction % is closed: book a new one', booked.transaction_id
                using errcode = 'restrict_violation';
        end if;
    end loop;

    insert into payouts.account_balances as balances (account, seller_id, currency, balance)
    select added.account, added.seller_id, added.currency, sum(added.amount)
    from added
    group by added.account, added.seller_id, added.currency
    order by added.account, added.seller_id, added.currency
    on conflict (account, seller_id, currency)
    do update set balance = balances.balance + excluded.balance;
    return null;
end
$$;

-- Who moves payouts and who freezes take turns on this empty table: a freeze locks it before its first look.
create table payouts.turns ();

-- The account on which a payout's money is while it has this status.
create function payouts.held_on(status text) returns text language sql immutable as $$
    select case
        when status in ('submitted', 'awaiting_reconciliation') then 'payouts_in_transit'
        when status = 'paid' then 'payouts_paid'
        else 'seller_payable'
    end
$$;

-- What the ledger calls a payout's step; null for a step that there is not. `decide` and `question` move
-- no money.
create function payouts.step(was text, becomes text) returns text language sql immutable as $$
    select steps.kind
    from (
        values
        ('ready', 'blocked', 'decide'),
        ('blocked', 'ready', 'decide'),
        ('ready', 'submitted', 'submit'),
        ('submitted', 'ready', 'release'),
        ('submitted', 'paid', 'pay'),
        ('submitted', 'failed', 'fail'),
        ('paid', 'returned', 'return'),
        ('submitted', 'awaiting_reconciliation', 'question'),
        ('ready', 'awaiting_reconciliation', 'reopen'),
        ('blocked', 'awaiting_reconciliation', 'reopen'),
        ('paid', 'awaiting_reconciliation', 'reopen'),
        ('failed', 'awaiting_reconciliation', 'reopen'),
        ('returned', 'awaiting_reconciliation', 'reopen'),
        ('awaiting_reconciliation', 'paid', 'pay'),
        ('awaiting_reconciliation', 'failed', 'fail')
    ) as steps (was, becomes, kind)
    where steps.was = step.was and steps.becomes = step.becomes
$$;

create function payouts.take_turns() returns trigger language plpgsql as $$
begin
    lock table payouts.turns in row exclusive mode;
    return null;
end
$$;

create trigger payouts_take_turns before update on payouts.payouts
for each statement execute function payouts.take_turns();

-- A payout's promise never changes, and it goes the way of `payouts.step`.
create function payouts.guard_payout() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.status not in ('ready', 'blocked') then
            raise exception 'payout % cannot begin as %', new.payout_number, new.status
                using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        (
            old.payout_number, old.payout_window, old.seller_id, old.currency, old.amount, old.rail,
            old.destination, old.created_at
        ) is distinct from (
            new.payout_number, new.payout_window, new.seller_id, new.currency, new.amount, new.rail,
            new.destination, new.created_at
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
        -- Not the time at which the transaction began: it may have waited for a freeze.
        new.status_changed_at := clock_timestamp();
    end if;
    return new;
end
$$;

create trigger payouts_go_their_way before insert or update on payouts.payouts
for each row execute function payouts.guard_payout();
create trigger payouts_are_never_removed before delete or truncate on payouts.payouts
for each statement execute function payouts.refuse_change();

-- Whether the ledger has moved all of a payout's money from what its seller is owed to the account of its
-- status, and none of it elsewhere.
create function payouts.is_booked(payout payouts.payouts) returns boolean language sql stable as $$
    select
        coalesce(bool_and(seller_id = payout.seller_id and currency = payout.currency), true)
        and coalesce(sum(amount) filter (where account = 'seller_payable'), 0)
        = case when payouts.held_on(payout.status) = 'seller_payable' then 0 else -payout.amount end
        and coalesce(sum(amount) filter (where account = 'payouts_in_transit'), 0)
        = case when payouts.held_on(payout.status) = 'payouts_in_transit' then payout.amount else 0 end
        and coalesce(sum(amount) filter (where account = 'payouts_paid'), 0)
        = case when payouts.held_on(payout.status) = 'payouts_paid' then payout.amount else 0 end
    from payouts.ledger_entries
    where payout_number = payout.payout_number
$$;

-- No status without its booking.
create function payouts.refuse_unbooked() returns trigger language plpgsql as $$
begin
    if exists (
        select from payouts.payouts
        where payout_number = new.payout_number and not payouts.is_booked(payouts)
    ) then
        raise exception 'payout % is not where the ledger has its money', new.payout_number
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create constraint trigger payouts_are_booked after update of status on payouts.payouts
deferrable initially deferred
for each row when (old.status <> new.status) execute function payouts.refuse_unbooked();

-- No booking without its status. Whoever books changes the status first, or in the same statement.
create function payouts.refuse_unstated() returns trigger language plpgsql as $$
declare
    astray text;
begin
    select payouts.payout_number into astray
    from payouts.payouts
    where
        payouts.payout_number in (select added.payout_number from added)
        and not payouts.is_booked(payouts)
    limit 1;
    if found then
        raise exception 'payout % is not where this booking would have its money', astray
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create trigger ledger_entries_follow_payouts after insert on payouts.ledger_entries
referencing new table as added
for each statement execute function payouts.refuse_unstated();

-- What a booking needs, locked in the one order in which everybody does: turns, batch, payouts, audit chain;
-- the accounts come last. Without an order, two who book would wait for each other.
create function payouts.lock_to_book(numbers text []) returns void language plpgsql as $$
begin
    lock table payouts.turns in row exclusive mode;
    perform from payouts.batches
    where batch_id in (
        select batch_id from payouts.batch_items
        where payout_number = any(numbers) and released_at is null
        union all
        select batches.batch_id from payouts.batches
        inner join payouts.payouts on batches.payout_window = payouts.payout_window
        where payouts.payout_number = any(numbers) and batches.state in ('frozen', 'approved')
    )
    order by batch_id
    for update;
    perform from payouts.payouts where payout_number = any(numbers) order by payout_number for update;
    perform pg_advisory_xact_lock(hashtext('weekclose audit chain'));
end
$$;

-- Move payouts, all from the same status, and book what that means: the one way to do it.
create function payouts.move(moved text [], target text, reference text) returns void language plpgsql as $$
declare
    was text [];
    booked bigint;
begin
    perform payouts.lock_to_book(moved);
    select array_agg(distinct status) into was from payouts.payouts where payout_number = any(moved);
    if cardinality(was) <> 1 or payouts.step(was[1], target) is null then
        raise exception 'payouts that are % cannot become % together', array_to_string(was, ', '), target
            using errcode = 'restrict_violation';
    end if;
    update payouts.payouts
    set status = target, block_reasons = '{}'
    where payout_number = any(moved);
    if payouts.held_on(was[1]) = payouts.held_on(target) then
        return;
    end if;
    insert into payouts.ledger_transactions (kind, reference)
    values (payouts.step(was[1], target), move.reference)
    returning transaction_id into booked;
    insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount, payout_number)
    select
        booked, side.account, payouts.seller_id, payouts.currency, side.sign * payouts.amount,
        payouts.payout_number
    from payouts.payouts
    cross join lateral (
        values (payouts.held_on(was[1]), -1), (payouts.held_on(target), 1)
    ) as side (account, sign)
    where payouts.payout_number = any(moved)
    order by side.account, payouts.seller_id collate "C", payouts.payout_number;
end
$$;

-- What leaves: the adapter's bytes and the key they leave with, stored before the first of them does.
alter table payouts.batches
add column rail text,
add column body bytea,
add column body_hash text,
add column rejection jsonb,
add column resend_ordered_by text,
add column resend_ordered_at timestamptz;
alter table payouts.batches
add constraint batches_leave_with_key_and_body check (
    num_nulls(idempotency_key, rail, body, body_hash)
    = case when state in ('frozen', 'approved') then 4 else 0 end
),
add constraint batches_body_is_what_was_hashed check (body_hash = encode(sha256(body), 'hex')),
add constraint batches_submitted_have_a_receipt
check ((state in ('submitted', 'settled')) = (rail_batch_id is not null)),
add constraint batches_rejected_say_why check ((state = 'rejected') = (rejection is not null)),
add constraint batches_resend_names_its_time
check ((resend_ordered_by is null) = (resend_ordered_at is null));

create unique index batches_one_key on payouts.batches (idempotency_key);

-- Which payouts went with which batch. A rejected batch releases them: another may take them then.
create table payouts.batch_items (
    batch_id text not null references payouts.batches,
    payout_number text not null references payouts.payouts,
    seller_id text not null,
    currency text not null,
    released_at timestamptz,
    primary key (batch_id, payout_number),
    constraint batch_items_a_seller_once unique (batch_id, seller_id, currency)
);

create unique index batch_items_one_live_batch on payouts.batch_items (payout_number)
where released_at is null;

create function payouts.guard_batch_item() returns trigger language plpgsql as $$
begin
    if
        old.released_at is not null
        or not exists (select from payouts.batches where batch_id = new.batch_id and state = 'rejected')
        or (old.batch_id, old.payout_number, old.seller_id, old.currency)
        is distinct from (new.batch_id, new.payout_number, new.seller_id, new.currency)
    then
        raise exception 'payout % stays with batch %', old.payout_number, old.batch_id
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger batch_items_are_released_once before update on payouts.batch_items
for each row execute function payouts.guard_batch_item();
create trigger batch_items_are_never_removed before delete or truncate on payouts.batch_items
for each statement execute function payouts.refuse_change();

-- A batch goes one way. What was approved stays as it was approved, what was sent as it was sent.
create function payouts.guard_batch() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'frozen' then
            raise exception 'batch % cannot begin as %', new.batch_id, new.state
                using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        (old.batch_id, old.payout_window, old.generation, old.created_at)
        is distinct from (new.batch_id, new.payout_window, new.generation, new.created_at)
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
        and new.content_digest <> payouts.batch_digest(new.payout_window)
    then
        raise exception 'batch % is not what was approved', old.batch_id using errcode = 'WC003';
    end if;
    return new;
end
$$;

create trigger batches_go_their_way before insert or update on payouts.batches
for each row execute function payouts.guard_batch();
create trigger batches_are_never_removed before delete or truncate on payouts.batches
for each statement execute function payouts.refuse_change();

-- One row per time that a batch was sent, or may have been.
create table payouts.submit_attempts (
    attempt_id bigint generated always as identity primary key,
    batch_id text not null references payouts.batches,
    started_at timestamptz not null default clock_timestamp(),
    active_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    outcome text,
    detail text not null default '',
    retry_at timestamptz,
    actor text not null,
    constraint submit_attempts_outcome_is_known check (outcome in ('accepted', 'refused', 'unknown')),
    constraint submit_attempts_end check ((outcome is null) = (ended_at is null))
);

create index submit_attempts_batch on payouts.submit_attempts (batch_id, attempt_id);

create function payouts.guard_attempt() returns trigger language plpgsql as $$
begin
    if
        old.outcome is not null
        or (old.attempt_id, old.batch_id, old.started_at, old.actor)
        is distinct from (new.attempt_id, new.batch_id, new.started_at, new.actor)
    then
        raise exception 'attempt % has ended or is another one: it does not change', old.attempt_id
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger submit_attempts_end_once before update on payouts.submit_attempts
for each row execute function payouts.guard_attempt();
create trigger submit_attempts_are_never_removed before delete or truncate on payouts.submit_attempts
for each statement execute function payouts.refuse_change();

-- The key a batch leaves with: of its content and generation alone, not of time, chance or attempt.
create function payouts.batch_key(batch payouts.batches) returns text language sql immutable as $$
    select encode(sha256(convert_to(batch.batch_id || e'\n' || batch.content_digest, 'UTF8')), 'hex')
$$;

-- What a rail told us, as verified and stored before it was answered.
create table payouts.rail_events (
    event_id bigint generated always as identity primary key,
    rail text not null,
    rail_event_id text not null,
    event_type text not null,
    status text,
    payout_number text,
    amount numeric,
    currency text,
    external_reference text,
    failure_code text,
    failure_reason text,
    occurred_at timestamptz,
    proves_content boolean not null,
    body bytea not null,
    received_at timestamptz not null default clock_timestamp(),
    constraint rail_events_once unique (rail, rail_event_id),
    constraint rail_events_status_is_known check (status in ('processing', 'completed', 'failed', 'returned'))
);

create index rail_events_payout on payouts.rail_events (payout_number);

create trigger rail_events_never_change before update or delete or truncate on payouts.rail_events
for each statement execute function payouts.refuse_change();

-- What became of an event: nothing yet while `outcome` is null.
create table payouts.event_outcomes (
    event_id bigint primary key references payouts.rail_events,
    outcome text,
    decided_at timestamptz,
    constraint event_outcomes_outcome_is_known check (outcome in ('booked', 'no_effect', 'overruled')),
    constraint event_outcomes_name_their_time check ((outcome is null) = (decided_at is null))
);

create index event_outcomes_waiting on payouts.event_outcomes (event_id) where outcome is null;

create function payouts.await_outcome() returns trigger language plpgsql as $$
begin
    insert into payouts.event_outcomes (event_id) values (new.event_id);
    return null;
end
$$;

create trigger rail_events_wait after insert on payouts.rail_events
for each row execute function payouts.await_outcome();

create function payouts.guard_outcome() returns trigger language plpgsql as $$
begin
    if old.outcome is not null or old.event_id <> new.event_id then
        raise exception 'event % is decided: that does not change', old.event_id
            using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;

create trigger event_outcomes_are_decided_once before update on payouts.event_outcomes
for each row execute function payouts.guard_outcome();
create trigger event_outcomes_are_never_removed before delete or truncate on payouts.event_outcomes
for each statement execute function payouts.refuse_change();

-- The rail's own word on each item of a batch, as of the last look-up.
create table payouts.rail_states (
    batch_id text not null references payouts.batches,
    payout_number text not null,
    status text not null,
    is_final boolean not null,
    amount numeric not null,
    external_reference text,
    failure_code text,
    failure_reason text,
    rail_updated_at timestamptz,
    asked_at timestamptz not null,
    primary key (batch_id, payout_number),
    constraint rail_states_status_is_known check (status in ('processing', 'completed', 'failed', 'returned'))
);

-- Each event with what became of it, or what it waits for. `book` and `no_effect` wait for nothing.
create view payouts.inbox as
select
    events.*,
    outcomes.outcome,
    outcomes.decided_at,
    payouts.payout_window,
    payouts.seller_id,
    payouts.status as payout_status,
    payouts.amount as payout_amount,
    case
        when outcomes.outcome is not null then outcomes.outcome
        when events.status is null then 'unknown_type'
        when events.status = 'processing' then 'no_effect'
        when payouts.payout_number is null then 'unknown_payout'
        when events.amount <> payouts.amount or events.currency <> payouts.currency then 'other_amount'
        when payouts.status = 'awaiting_reconciliation' then 'waits_for_a_person'
        when events.status = 'completed' and payouts.status in ('paid', 'returned') then 'no_effect'
        when events.status in ('failed', 'returned') and payouts.status in ('failed', 'returned')
            then 'no_effect'
        when payouts.status in ('ready', 'blocked') then 'not_submitted'
        when events.status = 'completed' and payouts.status = 'submitted' and events.proves_content
            then 'book'
        else 'needs_look_up'
    end as verdict
from payouts.rail_events as events
inner join payouts.event_outcomes as outcomes on events.event_id = outcomes.event_id
left join payouts.payouts on events.payout_number = payouts.payout_number;

-- A payout's money has rolled when a later window was frozen while it was owed to the seller again.
create or replace function payouts.has_rolled(payout payouts.payouts)
returns boolean language sql stable as $$
    select payout.status in ('blocked', 'failed', 'returned') and exists (
        select from payouts.frozen_windows as later
        where later.payout_window > payout.payout_window and later.frozen_at >= payout.status_changed_at
    )
$$;

-- Why payouts that are ready may not go out after all; no row when all of them may.
create function payouts.unready(checked_window date)
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
            where batches.payout_window = ready.payout_window and states.status in ('processing', 'completed')
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
                and other.status in ('submitted', 'paid', 'awaiting_reconciliation')
        ) as reasons (reason)
        where ready.payout_window = $1 and ready.status = 'ready'
        order by ready.payout_number, reasons.reason
        $query$,
        (select settings ->> 'raw_schema' from payouts.frozen_windows where payout_window = checked_window)
    ) using checked_window;
end
$$;

-- The batch of a window, locked, in the state that the caller expects.
create function payouts.lock_batch(locked_batch text, expected text)
returns payouts.batches language plpgsql as $$
declare
    batch payouts.batches;
begin
    select * into batch from payouts.batches where batch_id = locked_batch for update;
    if batch.state is distinct from expected then
        raise exception 'batch % is % meanwhile: run the command again',
            locked_batch, coalesce(batch.state, 'gone')
            using errcode = 'WC004';
    end if;
    return batch;
end
$$;

-- Claim an approved batch: from here on its money is in transit, and its bytes and key stand. Returns the
-- attempt; the caller commits before he sends anything.
create function payouts.claim_batch(
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
    perform from payouts.payouts where payout_window = batch.payout_window order by payout_number for update;
    if batch.content_digest <> seen_digest then
        raise exception 'the content of window % has changed: it needs another approval', batch.payout_window
            using errcode = 'WC003';
    end if;
    select *, count(*) over () as found into offender from payouts.unready(batch.payout_window) limit 1;
    if found then
        raise exception
            'payout % of seller % may not go out: % (% in all; weekclose hold, then approve again)',
            offender.payout_number, offender.seller_id, offender.reason, offender.found
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
    where payout_window = batch.payout_window and status = 'ready';
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

-- Claim another attempt to send the stored bytes, if nobody has tried since the caller looked.
create function payouts.retry_batch(retried_batch text, last_seen bigint, actor text)
returns bigint language plpgsql as $$
declare
    attempt bigint;
begin
    perform payouts.lock_batch(retried_batch, 'submitting');
    if (select max(attempt_id) from payouts.submit_attempts where batch_id = retried_batch) <> last_seen then
        raise exception 'batch % is being submitted by somebody else: run the command again', retried_batch
            using errcode = 'WC004';
    end if;
    -- Whoever held the last attempt is gone, or will be told so.
    update payouts.submit_attempts
    set ended_at = clock_timestamp(), outcome = 'unknown', detail = 'given up: another attempt followed'
    where attempt_id = last_seen and outcome is null;
    insert into payouts.submit_attempts (batch_id, actor)
    values (retried_batch, actor)
    returning attempt_id into attempt;
    perform payouts.audit(
        actor, 'submit again', 'batch:' || retried_batch, null, jsonb_build_object('attempt', attempt)
    );
    return attempt;
end
$$;

create function payouts.end_attempts(ended_batch text, how text, why text, retry timestamptz default null)
returns void language sql as $$
    update payouts.submit_attempts
    set ended_at = clock_timestamp(), outcome = how, detail = why, retry_at = retry
    where batch_id = ended_batch and outcome is null
$$;

-- A batch is settled when none of its payouts is open any more.
create function payouts.settle(settled_batch text, actor text) returns void language plpgsql as $$
begin
    if exists (
        select from payouts.payouts
        inner join payouts.batch_items
            on payouts.payout_number = batch_items.payout_number and batch_items.batch_id = settled_batch
        where
            payouts.payout_window = (select payout_window from payouts.batches where batch_id = settled_batch)
            and payouts.status in ('submitted', 'awaiting_reconciliation')
    ) then
        return;
    end if;
    update payouts.batches set state = 'settled' where batch_id = settled_batch and state = 'submitted';
    if found then
        perform payouts.audit(
            actor, 'settle', 'batch:' || settled_batch, jsonb_build_object('state', 'submitted'),
            jsonb_build_object('state', 'settled')
        );
    end if;
end
$$;

-- The rail has the batch: its receipt named our count and totals.
create function payouts.take_receipt(received_batch text, receipt_id text, actor text)
returns void language plpgsql as $$
begin
    perform from payouts.batches
    where batch_id = received_batch and state in ('submitted', 'settled') and rail_batch_id = receipt_id;
    if found then
        return;
    end if;
    perform payouts.lock_batch(received_batch, 'submitting');
    update payouts.batches
    set state = 'submitted', rail_batch_id = receipt_id
    where batch_id = received_batch;
    perform payouts.end_attempts(received_batch, 'accepted', receipt_id);
    perform payouts.audit(
        actor, 'receipt', 'batch:' || received_batch, jsonb_build_object('state', 'submitting'),
        jsonb_build_object('state', 'submitted', 'rail_batch_id', receipt_id)
    );
    perform payouts.settle(received_batch, actor);
end
$$;

-- The rail has refused the batch for good: everything is released, and the next generation waits for its
-- review. Returns its id.
create function payouts.take_refusal(refused_batch text, said jsonb, actor text)
returns text language plpgsql as $$
declare
    batch payouts.batches;
    released text [];
    contradicted text;
    successor text;
begin
    lock table payouts.turns in row exclusive mode;
    batch := payouts.lock_batch(refused_batch, 'submitting');
    select array_agg(payout_number) into released from payouts.batch_items where batch_id = refused_batch;
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
    update payouts.batch_items set released_at = clock_timestamp() where batch_id = refused_batch;
    perform payouts.end_attempts(refused_batch, 'refused', coalesce(said ->> 'message', ''));
    successor := format('W%s-G%s', to_char(batch.payout_window, 'YYYY-MM-DD'), batch.generation + 1);
    insert into payouts.batches (batch_id, payout_window, generation, content_digest)
    values (successor, batch.payout_window, batch.generation + 1, payouts.batch_digest(batch.payout_window));
    perform payouts.audit(
        actor, 'refusal', 'batch:' || refused_batch, jsonb_build_object('state', 'submitting'),
        jsonb_build_object('state', 'rejected', 'rejection', said, 'successor', successor)
    );
    return successor;
end
$$;

-- A second person orders that an old batch is sent once more, although the rail may have forgotten its key.
create function payouts.order_resend(ordered_window date, seen_digest text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
begin
    select * into batch
    from payouts.batches
    where payout_window = ordered_window and state <> 'rejected'
    for update;
    if batch.state is distinct from 'submitting' then
        raise exception 'window % has no batch whose outcome is unknown', ordered_window
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
    return payouts.audit(
        actor, 'order resend', 'batch:' || batch.batch_id, null,
        jsonb_build_object('content_digest', seen_digest)
    );
end
$$;

-- Book what is true of a payout: the rail's final word, or a completed payment that nothing contradicts.
-- Whatever the order in which it is told, the same truth ends in the same state.
create function payouts.conclude(
    concluded text, told text, told_amount numeric, reference text, code text, why text, source text,
    actor text
) returns void language plpgsql as $$
declare
    payout payouts.payouts;
    targets text [] := '{}';
    target text;
    step_kind text;
    booked_before bigint;
begin
    perform payouts.lock_to_book(array[concluded]);
    select * into payout from payouts.payouts where payout_number = concluded;
    if told = 'completed' and payout.status not in ('paid', 'awaiting_reconciliation') then
        targets := case
            when told_amount <> payout.amount then array['awaiting_reconciliation']
            when payout.status = 'submitted' then array['paid']
            when payout.status = 'failed' and not payouts.has_rolled(payout)
                then array['awaiting_reconciliation', 'paid']
            else array['awaiting_reconciliation']
        end;
    elsif told = 'completed' and payout.status = 'paid' and told_amount <> payout.amount then
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
    foreach target in array targets loop
        -- A rail may change its mind more than once: each time is a booking of its own.
        select payouts.step(status, target) into step_kind
        from payouts.payouts
        where payout_number = concluded;
        select count(*) into booked_before
        from payouts.ledger_transactions
        where
            kind = step_kind
            and transaction_id in (
                select transaction_id from payouts.ledger_entries where payout_number = concluded
            );
        perform payouts.move(
            array[concluded], target,
            concluded || case when booked_before > 0 then '#' || booked_before + 1 else '' end
        );
    end loop;
    if cardinality(targets) = 0 then
        return;
    end if;
    update payouts.payouts
    set
        external_reference = coalesce(reference, external_reference),
        failure_code = case when status in ('failed', 'returned') then code end,
        failure_reason = case when status in ('failed', 'returned') then why end
    where payout_number = concluded;
    perform payouts.audit(
        actor, target, 'payout:' || concluded, jsonb_build_object('status', payout.status),
        jsonb_build_object('status', target, 'external_reference', reference, 'amount', told_amount), source
    );
    perform payouts.settle(batch_id, actor)
    from payouts.batch_items
    where payout_number = concluded and released_at is null;
    -- What could still be decided on is not what it was: other content, other digest.
    perform payouts.renew_batch(batches)
    from payouts.batches
    where
        payout_window = payout.payout_window
        and state in ('frozen', 'approved')
        and payout.status in ('ready', 'blocked');
end
$$;

-- Apply an event if it can be: once, by its effect. Returns its verdict.
create function payouts.apply_event(applied bigint, actor text) returns text language plpgsql as $$
declare
    event payouts.inbox;
begin
    perform payouts.lock_to_book(
        array(select payout_number from payouts.rail_events where event_id = applied)
    );
    select * into event from payouts.inbox where event_id = applied;
    if event.outcome is not null or event.verdict not in ('book', 'no_effect') then
        return event.verdict;
    end if;
    if event.verdict = 'book' then
        perform payouts.conclude(
            event.payout_number, event.status, event.amount, event.external_reference, event.failure_code,
            event.failure_reason, 'event ' || applied, actor
        );
    end if;
    update payouts.event_outcomes
    set
        outcome = case event.verdict when 'book' then 'booked' else 'no_effect' end,
        decided_at = clock_timestamp()
    where event_id = applied and outcome is null;
    return event.verdict;
end
$$;

-- Keep a verified event, once. Returns its id, or null when it was here before.
create function payouts.receive_event(
    rail text, rail_event_id text, event_type text, status text, payout_number text, amount numeric,
    currency text, external_reference text, failure_code text, failure_reason text, occurred_at timestamptz,
    proves_content boolean, body bytea
) returns bigint language sql as $$
    insert into payouts.rail_events (
        rail, rail_event_id, event_type, status, payout_number, amount, currency, external_reference,
        failure_code, failure_reason, occurred_at, proves_content, body
    )
    values (
        receive_event.rail, receive_event.rail_event_id, receive_event.event_type, receive_event.status,
        receive_event.payout_number, receive_event.amount, receive_event.currency,
        receive_event.external_reference, receive_event.failure_code, receive_event.failure_reason,
        receive_event.occurred_at, receive_event.proves_content, receive_event.body
    )
    on conflict do nothing
    returning event_id
$$;

-- What the rail said of a batch's items when it was asked at `asked`: kept, and booked where it is final.
-- What events that came before claimed otherwise is overruled. Returns how many payouts moved.
create function payouts.confirm(confirmed_batch text, asked timestamptz, states jsonb, actor text)
returns integer language plpgsql as $$
declare
    state record;
    was text;
    moved integer := 0;
begin
    perform payouts.lock_to_book(
        array(select item ->> 'reference' from jsonb_array_elements(states) as item)
    );
    for state in
        select *
        from jsonb_to_recordset(states) as said (
            reference text, status text, final boolean, amount numeric, external_reference text,
            failure_code text, failure_reason text, updated_at timestamptz
        )
        order by reference
    loop
        insert into payouts.rail_states as known (
            batch_id, payout_number, status, is_final, amount, external_reference, failure_code,
            failure_reason, rail_updated_at, asked_at
        )
        values (
            confirmed_batch, state.reference, state.status, state.final, state.amount,
            state.external_reference, state.failure_code, state.failure_reason, state.updated_at, asked
        )
        on conflict (batch_id, payout_number) do update set
            status = excluded.status,
            is_final = excluded.is_final,
            amount = excluded.amount,
            external_reference = excluded.external_reference,
            failure_code = excluded.failure_code,
            failure_reason = excluded.failure_reason,
            rail_updated_at = excluded.rail_updated_at,
            asked_at = excluded.asked_at
        where known.asked_at <= excluded.asked_at;
        -- An older answer than the one we have is no news.
        continue when not found or not state.final;
        continue when not exists (
            select from payouts.batch_items
            where batch_id = confirmed_batch and payout_number = state.reference
        );
        select status into was from payouts.payouts where payout_number = state.reference;
        perform payouts.conclude(
            state.reference, state.status, state.amount, state.external_reference, state.failure_code,
            state.failure_reason, 'look-up of batch ' || confirmed_batch, actor
        );
        moved := moved + (
            select (status <> was)::integer from payouts.payouts where payout_number = state.reference
        );
        update payouts.event_outcomes
        set
            outcome = case inbox.verdict when 'no_effect' then 'no_effect' else 'overruled' end,
            decided_at = clock_timestamp()
        from payouts.inbox
        where
            event_outcomes.event_id = inbox.event_id
            and inbox.outcome is null
            and inbox.payout_number = state.reference
            and inbox.received_at < asked
            and inbox.verdict in ('no_effect', 'other_amount', 'not_submitted', 'needs_look_up');
    end loop;
    return moved;
end
$$;
