-- Executions: what really left, with its reference and its proof. What differs from the promise waits for a
-- person, and what was wrong is reversed with the obligation that follows from it.
set local role weekclose_owner;

-- One row per transfer that happened. What a rail did is proved by its verified event or by what it said when
-- it was asked; what a person did, by a document.
create table payouts.executions (
    execution_id bigint generated always as identity primary key,
    payout_number text not null references payouts.payouts,
    rail text not null,
    external_reference text not null,
    amount numeric not null,
    executed_at timestamptz not null,
    source text not null,
    event_id bigint references payouts.rail_events,
    batch_id text references payouts.batches,
    asked_at timestamptz,
    -- The execution of which it says another amount: that one does not count any more.
    corrects bigint references payouts.executions,
    note text not null default '',
    noted_by text not null,
    noted_at timestamptz not null default clock_timestamp(),
    constraint executions_reference_is_unique unique (rail, external_reference),
    constraint executions_have_a_reference check (external_reference <> ''),
    constraint executions_move_money check (amount > 0),
    constraint executions_name_their_proof check (
        case source
            when 'rail' then num_nonnulls(event_id, batch_id) = 1 and (batch_id is null) = (asked_at is null)
            when 'manual' then num_nonnulls(event_id, batch_id, asked_at) = 0
            else false
        end
    )
);

create unique index executions_are_corrected_once on payouts.executions (corrects);
create index executions_payout on payouts.executions (payout_number, execution_id);

-- The documents of an execution, newest last: that one is its proof. A document proves one execution.
create table payouts.proofs (
    proof_id bigint generated always as identity primary key,
    execution_id bigint not null references payouts.executions,
    sha256 text not null references payouts.documents,
    reason text not null,
    added_by text not null,
    added_at timestamptz not null default clock_timestamp(),
    constraint proofs_of_one_execution unique (sha256),
    constraint proofs_say_why check (reason <> '')
);

create index proofs_execution on payouts.proofs (execution_id, proof_id);

-- What a person decided about a payout on which books and execution disagreed.
create table payouts.resolutions (
    resolution_id bigint generated always as identity primary key,
    payout_number text not null references payouts.payouts,
    verdict text not null,
    note text not null,
    document text references payouts.documents,
    adjustment_number text references payouts.adjustments,
    resolved_by text not null,
    resolved_at timestamptz not null default clock_timestamp(),
    constraint resolutions_verdict_is_known check (verdict in ('accept', 'retry')),
    constraint resolutions_say_why check (note <> '')
);

create index resolutions_payout on payouts.resolutions (payout_number);

-- One row per reversed payout, with the obligation that it left.
create table payouts.reversals (
    payout_number text primary key references payouts.payouts,
    reason text not null,
    note text not null,
    evidence text references payouts.documents,
    adjustment_number text not null references payouts.adjustments,
    reversed_by text not null,
    reversed_at timestamptz not null default clock_timestamp(),
    constraint reversals_of_one_adjustment unique (adjustment_number),
    constraint reversals_say_why check (note <> '')
);

create trigger executions_never_change before update or delete or truncate on payouts.executions
for each statement execute function payouts.refuse_change();
create trigger proofs_never_change before update or delete or truncate on payouts.proofs
for each statement execute function payouts.refuse_change();
create trigger resolutions_never_change before update or delete or truncate on payouts.resolutions
for each statement execute function payouts.refuse_change();
create trigger reversals_never_change before update or delete or truncate on payouts.reversals
for each statement execute function payouts.refuse_change();

-- There is one more rail to judge an address for.
truncate payouts.judged_wallets;

-- The newest execution's reference, kept here for those who look a payout up.
alter table payouts.payouts add column reference_id text;
alter table payouts.payouts drop constraint payouts_status_is_known;
alter table payouts.payouts add constraint payouts_status_is_known check (
    status in (
        'ready', 'blocked', 'submitted', 'paid', 'failed', 'returned', 'awaiting_reconciliation', 'reversed'
    )
);
alter table payouts.event_outcomes drop constraint event_outcomes_outcome_is_known;
alter table payouts.event_outcomes add constraint event_outcomes_outcome_is_known
check (outcome in ('booked', 'no_effect', 'overruled', 'resolved'));

-- As they were, and for `reversed`: the money has left, and what follows is an obligation of its own.
create or replace function payouts.held_on(status text) returns text language sql immutable as $$
    select case
        when status in ('submitted', 'awaiting_reconciliation') then 'payouts_in_transit'
        when status in ('paid', 'reversed') then 'payouts_paid'
        else 'seller_payable'
    end
$$;

create or replace function payouts.step(was text, becomes text) returns text language sql immutable as $$
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
        ('paid', 'reversed', 'reverse'),
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

-- As it was, but a reference comes from an execution alone, and a reversal says why.
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

create function payouts.keep_reference() returns trigger language plpgsql as $$
begin
    update payouts.payouts set reference_id = new.external_reference where payout_number = new.payout_number;
    return null;
end
$$;

create trigger executions_give_their_reference after insert on payouts.executions
for each row execute function payouts.keep_reference();

create function payouts.refuse_unproved() returns trigger language plpgsql as $$
begin
    if not exists (select from payouts.proofs where execution_id = new.execution_id) then
        raise exception 'execution % of payout % has no proof', new.external_reference, new.payout_number
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create constraint trigger executions_are_proved after insert on payouts.executions
deferrable initially deferred
for each row when (new.source = 'manual') execute function payouts.refuse_unproved();

create function payouts.refuse_unreversed() returns trigger language plpgsql as $$
begin
    if not exists (
        select from payouts.payouts
        inner join payouts.adjustments
            on payouts.seller_id = adjustments.seller_id and payouts.currency = adjustments.currency
        where
            payouts.payout_number = new.payout_number
            and payouts.status = 'reversed'
            and adjustments.adjustment_number = new.adjustment_number
            and adjustments.amount = payouts.amount
            and adjustments.source in ('reversal', 'manual')
            and adjustments.source_id = payouts.payout_number
            and adjustments.status <> 'cancelled'
    ) then
        raise exception 'the reversal of payout % is not what became of it', new.payout_number
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create constraint trigger reversals_are_of_a_reversed_payout after insert on payouts.reversals
deferrable initially deferred
for each row execute function payouts.refuse_unreversed();

-- What is known to have left: the newest execution's amount, without one what was promised.
create function payouts.known_amount(payout payouts.payouts) returns numeric language sql stable as $$
    select coalesce(
        (
            select amount from payouts.executions
            where payout_number = payout.payout_number
            order by execution_id desc
            limit 1
        ),
        payout.amount
    )
$$;

-- What has left for a payout and stayed away: its transfers since its money last came back, and the newest,
-- which is what is asked about.
create function payouts.left_amount(payout payouts.payouts) returns numeric language sql stable as $$
    select coalesce(sum(done.amount), 0)
    from payouts.executions as done
    where
        done.payout_number = payout.payout_number
        and not exists (select from payouts.executions where corrects = done.execution_id)
        and done.noted_at > all (
            select resolved_at from payouts.resolutions
            where payout_number = payout.payout_number and verdict = 'retry'
        )
        and (
            not exists (
                select from payouts.executions as newer
                where newer.payout_number = payout.payout_number and newer.execution_id > done.execution_id
            )
            or not exists (
                select from payouts.ledger_transactions as transactions
                inner join payouts.ledger_entries as entries
                    on transactions.transaction_id = entries.transaction_id
                where
                    entries.payout_number = payout.payout_number
                    and transactions.kind = 'return'
                    and transactions.booked_at >= done.noted_at
            )
        )
$$;

-- The newest execution that speaks of a transfer.
create function payouts.newest_word(its_rail text, reference text)
returns payouts.executions language sql stable as $$
    with recursive

    words as (
        select * from payouts.executions where rail = its_rail and external_reference = reference
        union all
        select newer.* from payouts.executions as newer
        inner join words on newer.corrects = words.execution_id
    )

    select * from words
    order by execution_id desc
    limit 1
$$;

-- Whether this transfer is in the books already, and a person has said that it is not to be paid again.
create function payouts.is_known_execution(payout payouts.payouts, reference text, told_amount numeric)
returns boolean language sql stable as $$
    select
        exists (
            select from payouts.resolutions
            where payout_number = payout.payout_number and verdict = 'retry'
        )
        and exists (
            select from payouts.newest_word(payout.rail, reference) as word
            where word.payout_number = payout.payout_number and word.amount = told_amount
        )
$$;

-- A transfer of which another amount is said keeps its reference, with a number behind it.
create function payouts.reference_again(reference text, corrected payouts.executions)
returns text language sql stable as $$
    select reference || coalesce('#' || nullif(count(*) + 1, 1), '')
    from payouts.executions
    where
        payout_number = corrected.payout_number
        and (external_reference = reference or starts_with(external_reference, reference || '#'))
$$;

-- Note what a rail has executed; without an amount, what was promised. False when no such transfer can have
-- been: its reference is another payout's, or it moved nothing.
create function payouts.note_execution(
    payout payouts.payouts, reference text, told_amount numeric, executed timestamptz, proof_event bigint,
    proof_batch text, asked timestamptz, actor text
) returns boolean language plpgsql as $$
declare
    left_amount numeric := coalesce(told_amount, payout.amount);
    -- A rail that names none is found by its receipt and our number.
    named text := coalesce(
        nullif(left(reference, 500), ''),
        (
            select batches.rail_batch_id || ':' || payout.payout_number
            from payouts.batch_items as items
            inner join payouts.batches on items.batch_id = batches.batch_id
            where items.payout_number = payout.payout_number and items.released_at is null
        ),
        payout.payout_number
    );
    noted payouts.executions;
begin
    noted := payouts.newest_word(payout.rail, named);
    if noted.payout_number <> payout.payout_number or left_amount <= 0 then
        return false;
    end if;
    if noted.amount = left_amount then
        return true;
    end if;
    insert into payouts.executions (
        payout_number, rail, external_reference, amount, executed_at, source, event_id, batch_id, asked_at,
        corrects, noted_by
    )
    values (
        payout.payout_number, payout.rail, payouts.reference_again(named, noted), left_amount, executed, 'rail',
        proof_event, proof_batch, asked, noted.execution_id, actor
    );
    return true;
end
$$;

-- Move one payout; what is booked of it more than once is numbered.
create function payouts.move_one(moved text, target text) returns void language plpgsql as $$
declare
    step_kind text;
    booked_before bigint;
begin
    select payouts.step(status, target) into step_kind from payouts.payouts where payout_number = moved;
    select count(*) into booked_before
    from payouts.ledger_transactions
    where
        kind = step_kind
        and transaction_id in (
            select transaction_id from payouts.ledger_entries where payout_number = moved
        );
    perform payouts.move(
        array[moved], target, moved || case when booked_before > 0 then '#' || booked_before + 1 else '' end
    );
end
$$;

-- As it was, but what is known to have left counts once a person has accepted it, a payout that a person pays
-- is none of the rail's, and what was decided is not decided again.
create or replace view payouts.inbox as
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
        when
            payouts.status in ('failed', 'returned')
            and events.status = 'completed'
            and exists (
                select from payouts.resolutions
                where resolutions.payout_number = payouts.payout_number and resolutions.verdict = 'retry'
            )
            and exists (
                select from payouts.executions
                where
                    executions.payout_number = payouts.payout_number
                    and executions.external_reference = events.external_reference
                    and executions.amount = events.amount
            )
            then 'no_effect'
        when
            events.currency <> payouts.currency
            or (
                events.amount <> coalesce(
                    (
                        select executions.amount from payouts.executions
                        where executions.payout_number = payouts.payout_number
                        order by executions.execution_id desc
                        limit 1
                    ),
                    payouts.amount
                )
                -- While nobody has decided which of the two is true, neither is news.
                and (payouts.status <> 'awaiting_reconciliation' or events.amount <> payouts.amount)
            )
            then 'other_amount'
        when
            payouts.status = 'awaiting_reconciliation'
            or (payouts.status = 'reversed' and events.status <> 'completed')
            then 'waits_for_a_person'
        when events.status = 'completed' and payouts.status in ('paid', 'reversed', 'returned') then 'no_effect'
        when events.status in ('failed', 'returned') and payouts.status in ('failed', 'returned')
            then 'no_effect'
        when payouts.status in ('ready', 'blocked') or payouts.rail = 'MANUAL' then 'not_submitted'
        when events.status = 'completed' and payouts.status = 'submitted' and events.proves_content
            then 'book'
        else 'needs_look_up'
    end as verdict
from payouts.rail_events as events
inner join payouts.event_outcomes as outcomes on events.event_id = outcomes.event_id
left join payouts.payouts on events.payout_number = payouts.payout_number;


-- As it was, and for `reversed`.
create or replace function payouts.unready(checked_window date)
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
                and other.status in ('submitted', 'paid', 'reversed', 'awaiting_reconciliation')
        ) as reasons (reason)
        where ready.payout_window = $1 and ready.status = 'ready'
        order by ready.payout_number, reasons.reason
        $query$,
        (select settings ->> 'raw_schema' from payouts.frozen_windows where payout_window = checked_window)
    ) using checked_window;
end
$$;

-- As it was, but what a person has paid meanwhile is not released.
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

-- As it was, and each transfer that is heard of is noted as an execution, with what proves it.
drop function payouts.conclude(text, text, numeric, text, text, text, text, text);
create function payouts.conclude(
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
    foreach target in array targets loop
        perform payouts.move_one(concluded, target);
    end loop;
    update payouts.payouts
    set
        external_reference = coalesce(reference, external_reference),
        failure_code = case when status in ('failed', 'returned') then code end,
        failure_reason = case when status in ('failed', 'returned') then why end
    where payout_number = concluded;
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
        payout_window = payout.payout_window
        and state in ('frozen', 'approved')
        and payout.status in ('ready', 'blocked');
end
$$;

-- As it was, with the event as proof.
create or replace function payouts.apply_event(applied bigint, actor text) returns text language plpgsql as $$
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
            event.failure_reason, coalesce(event.occurred_at, event.received_at), applied, null, null, actor
        );
    end if;
    update payouts.event_outcomes
    set
        outcome = case
            when event.verdict = 'no_effect' then 'no_effect'
            when (select status from payouts.payouts where payout_number = event.payout_number) = 'paid' then 'booked'
            else 'overruled'
        end,
        decided_at = clock_timestamp()
    where event_id = applied and outcome is null;
    return event.verdict;
end
$$;

-- As it was, with the look-up as proof.
create or replace function payouts.confirm(confirmed_batch text, asked timestamptz, states jsonb, actor text)
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
        -- What was never sent there is listed as a break, and not believed.
        continue when not exists (
            select from payouts.batch_items as items
            inner join payouts.payouts on items.payout_number = payouts.payout_number
            where
                items.batch_id = confirmed_batch
                and items.payout_number = state.reference
                and payouts.rail <> 'MANUAL'
        );
        select status into was from payouts.payouts where payout_number = state.reference;
        perform payouts.conclude(
            state.reference, state.status, state.amount, state.external_reference, state.failure_code,
            state.failure_reason, coalesce(state.updated_at, asked), null, confirmed_batch, asked, actor
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

-- A person has paid: by bank, where the seller's rail is MANUAL, or as evidence for what is unclear. What
-- differs from the promise needs a note, and waits for its resolution.
create function payouts.execute_payout(
    executed_payout text, reference text, paid numeric, executed timestamptz, proof text, its_note text,
    actor text
) returns text language plpgsql as $$
declare
    payout payouts.payouts;
    said payouts.executions;
    made bigint;
    target text;
begin
    perform payouts.lock_to_book(array[executed_payout]);
    select * into payout from payouts.payouts where payout_number = executed_payout;
    if not found then
        raise exception 'there is no payout %', executed_payout using errcode = 'WC005';
    end if;
    if coalesce(reference, '') = '' or paid is null or proof is null then
        raise exception 'the execution of % is incomplete: reference, amount and proof are all needed',
            executed_payout
            using errcode = 'WC003';
    end if;
    if payout.status in ('paid', 'reversed') then
        raise exception 'payout % is % already, with reference %', executed_payout, payout.status,
            payout.reference_id
            using errcode = 'WC005';
    end if;
    if not (
        payout.status = 'awaiting_reconciliation' or (payout.status = 'submitted' and payout.rail = 'MANUAL')
    ) then
        raise exception 'payout % is % by %: a person executes what MANUAL has submitted, or what awaits reconciliation',
            executed_payout, payout.status, coalesce(payout.rail, 'no rail')
            using errcode = 'WC003';
    end if;
    if paid <= 0 or paid <> round(paid, 2) then
        raise exception '% is no amount that can have been paid: positive, at most two decimals', paid
            using errcode = 'WC003';
    end if;
    if executed > clock_timestamp() then
        raise exception '% cannot have been executed at %: that is not yet', executed_payout, executed
            using errcode = 'WC003';
    end if;
    said := payouts.newest_word(payout.rail, reference);
    if said.payout_number <> executed_payout or said.amount = paid then
        raise exception 'the reference % is that of % already', reference, said.payout_number
            using errcode = 'WC003';
    end if;
    if paid <> payout.amount and coalesce(its_note, '') = '' then
        raise exception '% was promised % %, not %: say why with --note', executed_payout, payout.amount,
            payout.currency, paid
            using errcode = 'WC003';
    end if;
    insert into payouts.executions (
        payout_number, rail, external_reference, amount, executed_at, source, corrects, note, noted_by
    )
    values (
        executed_payout, payout.rail, payouts.reference_again(reference, said), paid,
        coalesce(executed, clock_timestamp()), 'manual', said.execution_id, coalesce(its_note, ''), actor
    )
    returning execution_id into made;
    perform payouts.add_proof(made, proof, 'executed', actor);
    target := case
        when payout.status = 'awaiting_reconciliation' or paid <> payout.amount then 'awaiting_reconciliation'
        else 'paid'
    end;
    if target <> payout.status then
        perform payouts.move_one(executed_payout, target);
    end if;
    update payouts.payouts set external_reference = reference where payout_number = executed_payout;
    perform payouts.audit(
        actor, 'execute', 'payout:' || executed_payout, jsonb_build_object('status', payout.status),
        jsonb_build_object('status', target, 'external_reference', reference, 'amount', paid, 'proof', proof),
        coalesce(its_note, '')
    );
    perform payouts.settle(batch_id, actor)
    from payouts.batch_items
    where payout_number = executed_payout and released_at is null;
    return target;
end
$$;

create function payouts.add_proof(proved bigint, document text, why text, actor text)
returns void language plpgsql as $$
declare
    other text;
begin
    select executions.payout_number into other
    from payouts.proofs
    inner join payouts.executions on proofs.execution_id = executions.execution_id
    where proofs.sha256 = document;
    if found then
        raise exception 'this file is a proof of % already: each execution has its own', other
            using errcode = 'WC003';
    end if;
    insert into payouts.proofs (execution_id, sha256, reason, added_by)
    values (proved, document, why, actor);
end
$$;

-- Another proof of a payout's newest execution. The payout stays as it is, the old proof in its history.
create function payouts.replace_proof(proved_payout text, document text, why text, actor text)
returns void language plpgsql as $$
declare
    proved bigint;
    replaced text;
begin
    perform from payouts.payouts where payout_number = proved_payout for update;
    if not found then
        raise exception 'there is no payout %', proved_payout using errcode = 'WC005';
    end if;
    select max(execution_id) into proved from payouts.executions where payout_number = proved_payout;
    if proved is null then
        raise exception 'payout % was not executed: there is nothing to prove', proved_payout
            using errcode = 'WC003';
    end if;
    select sha256 into replaced from payouts.proofs
    where execution_id = proved
    order by proof_id desc
    limit 1;
    perform payouts.add_proof(proved, document, why, actor);
    perform payouts.audit(
        actor, 'proof replace', 'payout:' || proved_payout, jsonb_build_object('proof', replaced),
        jsonb_build_object('proof', document), why
    );
end
$$;

-- What a payout's seller still has to be given (positive) or give back, so that what really left and what
-- was recorded because of it come to the promise: in the currency of the payout.
create function payouts.mismatch_of(payout payouts.payouts, left_amount numeric, kept numeric)
returns numeric language sql stable as $$
    select kept - left_amount - coalesce(
        (
            select sum(payouts.signed(adjustments))
            from payouts.adjustments
            where source = 'mismatch' and source_id = payout.payout_number and status <> 'cancelled'
        ),
        0
    )
$$;

-- What was reversed came back after all: the platform has it, whatever it owes because of the reversal.
create function payouts.book_return(payout payouts.payouts) returns void language plpgsql as $$
declare
    booked bigint;
begin
    insert into payouts.ledger_transactions (kind, reference)
    values ('recover', payout.payout_number)
    on conflict do nothing
    returning transaction_id into booked;
    if booked is null then
        return; -- it is said once more
    end if;
    insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount, payout_number)
    select
        booked, side.account, payout.seller_id, payout.currency, side.sign * payouts.known_amount(payout),
        payout.payout_number
    from (values ('cash_recovered', -1), ('write_offs', 1)) as side (account, sign)
    order by side.account;
end
$$;

-- End what awaits reconciliation. `accept`: what was executed stands, and the difference to the promise becomes
-- an adjustment. `retry`: the money did not stay away, and is paid with the next window; where something says
-- that it left, a document has to show that it came back. Returns the adjustment's number, if there is one.
create function payouts.resolve_payout(
    resolved text, decided text, why text, proof text, actor text
) returns text language plpgsql as $$
declare
    payout payouts.payouts;
    newest payouts.executions;
    difference numeric;
    number text;
    is_back boolean;
begin
    perform payouts.lock_to_book(array[resolved]);
    select * into payout from payouts.payouts where payout_number = resolved;
    if not found then
        raise exception 'there is no payout %', resolved using errcode = 'WC005';
    end if;
    if coalesce(why, '') = '' then
        raise exception 'a resolution needs a note' using errcode = 'WC003';
    end if;
    select * into newest from payouts.executions
    where payout_number = resolved
    order by execution_id desc
    limit 1;
    -- The rail says that what was reversed came back.
    is_back := payout.status = 'reversed' and decided = 'accept' and exists (
        select from payouts.event_outcomes
        where
            outcome is null
            and event_id in (select event_id from payouts.rail_events where payout_number = resolved)
    );
    if
        payout.status <> 'awaiting_reconciliation'
        and not is_back
        and not (decided = 'retry' and payout.rail = 'MANUAL' and payout.status = 'submitted')
    then
        raise exception 'payout % is %: it does not await reconciliation', resolved, payout.status
            using errcode = 'WC005';
    end if;
    if newest.source = 'manual' and newest.noted_by = actor then
        raise exception '% executed %: another person has to resolve it', actor, resolved
            using errcode = 'WC003';
    end if;
    if decided = 'accept' and newest.execution_id is null then
        raise exception 'nothing shows that % was executed: weekclose execute says so, with a proof', resolved
            using errcode = 'WC003';
    end if;
    if decided = 'accept' and payouts.left_amount(payout) <> round(payouts.left_amount(payout), 2) then
        raise exception '% was executed with %, which no books can hold: two decimals', resolved,
            payouts.left_amount(payout)
            using errcode = 'WC003';
    end if;
    if
        decided = 'retry' and proof is null
        and (
            newest.execution_id is not null
            or exists (
                select from payouts.rail_states
                where payout_number = resolved and is_final and status = 'completed'
            )
        )
    then
        raise exception '% left with reference %: give a proof that it came back (--proof)', resolved,
            coalesce(newest.external_reference, payout.external_reference, 'none')
            using errcode = 'WC003';
    end if;
    if is_back then
        perform payouts.book_return(payout);
    else
        perform payouts.move_one(resolved, case decided when 'accept' then 'paid' else 'failed' end);
        update payouts.payouts
        set
            failure_code = case decided when 'retry' then 'resolved' end,
            failure_reason = case decided when 'retry' then why end
        where payout_number = resolved;
    end if;
    difference := case
        when is_back then 0
        when decided = 'accept' then payouts.mismatch_of(payout, payouts.left_amount(payout), payout.amount)
        else payouts.mismatch_of(payout, 0, 0)
    end;
    if difference <> 0 then
        number := payouts.record_adjustment(
            payout.seller_id, payout.currency,
            case when difference > 0 then 'carry_forward_credit' else 'carry_forward_deduction' end,
            abs(difference), 'mismatch of ' || resolved, why, null, proof, 'mismatch', resolved, actor
        );
    end if;
    insert into payouts.resolutions (payout_number, verdict, note, document, adjustment_number, resolved_by)
    values (resolved, decided, why, proof, number, actor);
    update payouts.event_outcomes
    set outcome = 'resolved', decided_at = clock_timestamp()
    where
        outcome is null
        and event_id in (select event_id from payouts.rail_events where payout_number = resolved);
    perform payouts.audit(
        actor, 'resolve ' || decided, 'payout:' || resolved, jsonb_build_object('status', payout.status),
        jsonb_build_object(
            'status', (select status from payouts.payouts where payout_number = resolved),
            'adjustment', number, 'document', proof
        ),
        why
    );
    perform payouts.settle(batch_id, actor)
    from payouts.batch_items
    where payout_number = resolved and released_at is null;
    return number;
end
$$;

-- A payment that arrived was wrong. No balance moves: the obligation that follows is recorded, unless a
-- recovery of it has been settled already. Returns the adjustment's number.
create function payouts.reverse_payout(
    reversed_payout text, code text, why text, proof text, actor text
) returns text language plpgsql as $$
declare
    payout payouts.payouts;
    policy record;
    number text;
begin
    perform payouts.lock_to_book(array[reversed_payout]);
    select * into payout from payouts.payouts where payout_number = reversed_payout;
    if not found then
        raise exception 'there is no payout %', reversed_payout using errcode = 'WC005';
    end if;
    if payout.status = 'reversed' then
        raise exception 'payout % is reversed already', reversed_payout using errcode = 'WC005';
    end if;
    if payout.status <> 'paid' then
        raise exception 'payout % is %: only what was executed can be reversed', reversed_payout, payout.status
            using errcode = 'WC003';
    end if;
    begin
        select * into policy from seeds.reversal_reasons where reason = code;
    exception
        when undefined_table then
            raise exception 'the reasons are not in the database yet: run weekclose sunday --no-freeze first'
                using errcode = 'WC003';
    end;
    if policy.reason is null then
        raise exception 'seeds/reversal_reasons.csv knows no reason %', code using errcode = 'WC003';
    end if;
    if policy.needs_evidence and proof is null then
        raise exception 'a reversal for % needs evidence: give it with --evidence', code using errcode = 'WC003';
    end if;
    if coalesce(why, '') = '' then
        raise exception 'a reversal needs a note' using errcode = 'WC003';
    end if;
    if policy.direction = 'debit' then
        select adjustment_number into number
        from payouts.adjustments
        where
            class = 'manual_cash_recovery'
            and source = 'manual'
            and source_id = reversed_payout
            and status = 'settled'
            and amount = payout.amount
            and applied_amount = amount
        order by adjustment_number collate "C"
        limit 1;
    end if;
    if number is null then
        number := payouts.record_adjustment(
            payout.seller_id, payout.currency,
            case policy.direction when 'credit' then 'carry_forward_credit' else 'carry_forward_deduction' end,
            -- The seller reads this: not the code, which may say what he is suspected of.
            payout.amount, 'reversal of ' || reversed_payout, why, null, proof, 'reversal', reversed_payout,
            actor
        );
    end if;
    insert into payouts.reversals (payout_number, reason, note, evidence, adjustment_number, reversed_by)
    values (reversed_payout, code, why, proof, number, actor);
    perform payouts.move(array[reversed_payout], 'reversed', reversed_payout);
    perform payouts.audit(
        actor, 'reverse', 'payout:' || reversed_payout, jsonb_build_object('status', 'paid'),
        jsonb_build_object('status', 'reversed', 'reason', code, 'adjustment', number, 'evidence', proof), why
    );
    return number;
end
$$;

-- A seller's obligations as far as they are his to know: agreed on, or a fact already. Notes, and who did
-- what, stay inside.
create function payouts.adjustments_of(asked_seller text)
returns table (
    adjustment_number text, currency text, class text, direction text, amount numeric, settled_amount numeric,
    reason text, invoice_reference text, source text, source_id text, status text, not_before date,
    payout_window date, is_undecided boolean
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select
        owed.adjustment_number, owed.currency, owed.class, owed.direction, owed.applied_amount,
        case
            when owed.class not like 'carry_forward%'
                then case owed.status when 'settled' then owed.applied_amount else 0.00 end
            else coalesce(
                (
                    select sum(allocations.amount) from payouts.adjustment_allocations as allocations
                    where allocations.adjustment_number = owed.adjustment_number
                ),
                0.00
            )
        end,
        owed.reason, owed.invoice_reference, owed.source, owed.source_id, owed.status, owed.not_before,
        owed.payout_window, payouts.is_open_exception(owed.adjustment_number)
    from payouts.adjustments as owed
    where
        owed.applied_to = asked_seller
        and owed.status <> 'cancelled'
        and (owed.status <> 'proposed' or owed.source in ('mismatch', 'reversal'));
end
$$;

-- What really reached a seller, payout by payout.
create function payouts.executions_of(asked_seller text)
returns table (
    payout_number text, external_reference text, amount numeric, executed_at timestamptz
) language plpgsql stable as $$
#variable_conflict use_column
begin
    perform payouts.refuse_other_seller(asked_seller);
    return query
    select done.payout_number, done.external_reference, done.amount, done.executed_at
    from payouts.executions as done
    inner join payouts.payouts as paid on done.payout_number = paid.payout_number
    where paid.seller_id = asked_seller
    order by done.execution_id;
end
$$;

do $$
declare
    door text;
begin
    foreach door in array array[
        -- Not called, but fired late: when the caller commits, as whoever that is.
        'refuse_unproved', 'refuse_unreversed',
        'take_refusal', 'apply_event', 'confirm', 'execute_payout', 'replace_proof', 'resolve_payout',
        'reverse_payout', 'adjustments_of', 'executions_of'
    ] loop
        execute format('alter function payouts.%I security definer set search_path = pg_catalog, pg_temp', door);
    end loop;
end
$$;

grant execute on function payouts.execute_payout to weekclose_operator;
grant execute on function payouts.replace_proof to weekclose_operator, weekclose_reconciler;
grant execute on function payouts.resolve_payout, payouts.reverse_payout to weekclose_reconciler;
grant execute on function payouts.adjustments_of, payouts.executions_of
to weekclose_operator, weekclose_approver, weekclose_reconciler, weekclose_analyst, weekclose_seller;
