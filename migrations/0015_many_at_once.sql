-- What rails say is booked for many payouts at once: each with a transaction of the ledger of its own, an
-- execution, an entry of the audit log and an event of the outbox, as one by one, but in as many statements
-- for a hundred as for one.
set local role weekclose_owner;

-- What a rail has said of a payout, and what proves that: its event, or its answer about a batch.
create type payouts.word as (
    payout_number text,
    status text,
    amount numeric,
    external_reference text,
    failure_code text,
    failure_reason text,
    executed_at timestamptz,
    event_id bigint,
    batch_id text,
    asked_at timestamptz
);

-- A word, the steps that its payout goes because of it, and the transfer that has to be noted, if any.
create type payouts.conclusion as (
    said payouts.word,
    was text,
    paid_with text,
    targets text [],
    rail text,
    transfer text,
    amount numeric,
    corrects bigint
);

-- What is asked for each payout is written so that its plan is kept, or that it needs none: an SQL function
-- that cannot be a part of its caller is prepared anew in each transaction.
create or replace function payouts.step(was text, becomes text) returns text language sql immutable as $$
    select case was || ' ' || becomes
        when 'ready blocked' then 'decide'
        when 'blocked ready' then 'decide'
        when 'ready submitted' then 'submit'
        when 'submitted ready' then 'release'
        when 'submitted paid' then 'pay'
        when 'submitted failed' then 'fail'
        when 'paid returned' then 'return'
        when 'paid reversed' then 'reverse'
        when 'submitted awaiting_reconciliation' then 'question'
        when 'ready awaiting_reconciliation' then 'reopen'
        when 'blocked awaiting_reconciliation' then 'reopen'
        when 'paid awaiting_reconciliation' then 'reopen'
        when 'failed awaiting_reconciliation' then 'reopen'
        when 'returned awaiting_reconciliation' then 'reopen'
        when 'awaiting_reconciliation paid' then 'pay'
        when 'awaiting_reconciliation failed' then 'fail'
    end
$$;

create or replace function payouts.is_booked(payout payouts.payouts)
returns boolean language plpgsql stable as $$
declare
    held_on text := payouts.held_on(payout.status);
begin
    return (
        select
            coalesce(bool_and(seller_id = payout.seller_id and currency = payout.currency), true)
            and coalesce(sum(amount) filter (where account = 'seller_payable'), 0)
            = case when held_on = 'seller_payable' then 0 else -payout.amount end
            and coalesce(sum(amount) filter (where account = 'payouts_in_transit'), 0)
            = case when held_on = 'payouts_in_transit' then payout.amount else 0 end
            and coalesce(sum(amount) filter (where account = 'payouts_paid'), 0)
            = case when held_on = 'payouts_paid' then payout.amount else 0 end
        from payouts.ledger_entries
        where payout_number = payout.payout_number
    );
end
$$;

create or replace function payouts.acting_role() returns text language plpgsql stable as $$
begin
    if (select rolsuper from pg_roles where rolname = session_user) then
        return 'superuser';
    end if;
    return (
        with held as (
            select rolname from pg_roles
            where rolname like 'weekclose\_%' and not rolcanlogin and pg_has_role(session_user, oid, 'member')
        )

        select coalesce(string_agg(held.rolname, ', ' order by held.rolname collate "C"), '')
        from held
        where not exists (
            select from held as wider
            where wider.rolname <> held.rolname and pg_has_role(wider.rolname, held.rolname, 'member')
        )
    );
end
$$;

-- Nothing in it depends on a session's time zone: an instant goes in as its seconds.
create or replace function payouts.audit_hash(
    entry_id bigint, at timestamptz, actor text, action text, entity text, before jsonb, after jsonb,
    reason text, previous_hash text
) returns text language sql stable as $$
    select encode(sha256(convert_to(jsonb_build_array(
        entry_id, extract(epoch from at), actor, action, entity, before, after, reason, previous_hash
    )::text, 'UTF8')), 'hex')
$$;

-- The entries of one call say the same of who acts, with which rights and from where.
create function payouts.audit_each(
    actor text, actions text [], entities text [], befores jsonb [], afters jsonb [], reasons text []
) returns bigint language plpgsql as $$
declare
    noted record;
    last_entry payouts.audit_log;
    entry payouts.audit_log;
begin
    perform payouts.refuse_other_name(actor);
    entry.actor := actor;
    entry.role := payouts.acting_role();
    entry.metadata := payouts.acting_from();
    perform payouts.lock_audit_chain();
    select * into last_entry from payouts.audit_log as entries order by entries.entry_id desc limit 1;
    entry.entry_id := coalesce(last_entry.entry_id, 0);
    entry.hash := coalesce(last_entry.hash, '');
    for noted in
        select *
        from unnest(actions, entities, befores, afters, reasons) with ordinality
        as each (action, entity, before, after, reason, place)
        order by place
    loop
        entry.at := clock_timestamp();
        entry.entry_id := entry.entry_id + 1;
        entry.action := noted.action;
        entry.entity := noted.entity;
        entry.before := noted.before;
        entry.after := noted.after;
        entry.reason := noted.reason;
        entry.previous_hash := entry.hash;
        entry.hash := payouts.audit_entry_hash(entry);
        insert into payouts.audit_log values (entry.*);
    end loop;
    return entry.entry_id;
end
$$;

create or replace function payouts.audit(
    actor text, action text, entity text, before jsonb, after jsonb, reason text default ''
) returns bigint language sql as $$
    select payouts.audit_each(actor, array[action], array[entity], array[before], array[after], array[reason])
$$;

-- As it was, for all executions of a statement, where that has not done it itself.
drop trigger executions_give_their_reference on payouts.executions;

create or replace function payouts.keep_reference() returns trigger language plpgsql as $$
begin
    if exists (
        select from added
        inner join payouts.payouts on added.payout_number = payouts.payout_number
        where payouts.reference_id is distinct from added.external_reference
    ) then
        update payouts.payouts
        set reference_id = added.external_reference
        from added
        where payouts.payout_number = added.payout_number;
    end if;
    return null;
end
$$;

create trigger executions_give_their_reference after insert on payouts.executions
referencing new table as added
for each statement execute function payouts.keep_reference();

-- As it was, in one query that looks each transaction up: statistics that are a moment old know of none of
-- them.
create or replace function payouts.book_entries() returns trigger language plpgsql as $$
declare
    offender record;
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

    select booked.transaction_id
    into offender
    from (
        select added.transaction_id, min(added.entry_id) as first_entry
        from added
        group by added.transaction_id
    ) as booked
    where
        (
            select transactions.booked_in from payouts.ledger_transactions as transactions
            where transactions.transaction_id = booked.transaction_id
        ) <> pg_current_xact_id()
        or (
            select min(entries.entry_id) from payouts.ledger_entries as entries
            where entries.transaction_id = booked.transaction_id
        ) < booked.first_entry
    limit 1;
    if found then
        raise exception 'ledger transaction % is closed: book a new one', offender.transaction_id
            using errcode = 'restrict_violation';
    end if;

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

-- A freeze and a batch book a thousand entries in one transaction, what a rail says two. Who has seen only
-- those of a freeze takes any entry for one of the transaction that he looks for, and reads the ledger from
-- its beginning.
alter table payouts.ledger_entries alter column transaction_id set (n_distinct = -0.4);

-- As it was, but by the index that has a transaction's entries in their order.
create or replace function payouts.refuse_empty_transaction() returns trigger language plpgsql as $$
begin
    if (
        select min(entry_id) from payouts.ledger_entries where transaction_id = new.transaction_id
    ) is null then
        raise exception 'ledger transaction % (% %) has no entries',
            new.transaction_id, new.kind, new.reference
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

-- Book what it means that payouts have gone a step: in one transaction of the ledger if there is a reference
-- for all of them, else in one for each, and what is booked of a payout more than once is numbered.
create function payouts.book_step(moved text [], was text, becomes text, reference text)
returns void language plpgsql as $$
declare
    step_kind text := payouts.step(was, becomes);
begin
    if payouts.held_on(was) = payouts.held_on(becomes) then
        return;
    end if;
    with

    named as (
        select
            payouts.payout_number,
            payouts.seller_id,
            payouts.currency,
            payouts.amount,
            coalesce(
                book_step.reference, payouts.reference_of_step(payouts.payout_number, step_kind)
            ) as called
        from payouts.payouts
        where payouts.payout_number = any(moved)
    ),

    booked as (
        insert into payouts.ledger_transactions (kind, reference)
        select step_kind, named.called
        from named
        group by named.called
        order by min(named.payout_number)
        returning ledger_transactions.transaction_id, ledger_transactions.reference as called
    )

    insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount, payout_number)
    select
        booked.transaction_id, side.account, named.seller_id, named.currency, side.sign * named.amount,
        named.payout_number
    from named
    inner join booked on named.called = booked.called
    cross join lateral (
        values (payouts.held_on(was), -1), (payouts.held_on(becomes), 1)
    ) as side (account, sign)
    order by booked.transaction_id, side.account, named.seller_id collate "C", named.payout_number;
end
$$;

create function payouts.reference_of_step(moved text, step_kind text)
returns text language plpgsql stable as $$
begin
    return moved || case
        when exists (
            select from payouts.ledger_transactions where kind = step_kind and reference = moved
        ) then '#' || (
            select count(*) + 1
            from payouts.ledger_transactions
            where
                kind = step_kind
                and transaction_id in (
                    select transaction_id from payouts.ledger_entries where payout_number = moved
                )
        )
        else ''
    end;
end
$$;

-- Move payouts, all from the same status, and book it. The caller has locked what that needs.
create function payouts.move_each(moved text [], target text, reference text)
returns void language plpgsql as $$
declare
    was text [];
begin
    select array_agg(distinct status) into was from payouts.payouts where payout_number = any(moved);
    if cardinality(was) <> 1 or payouts.step(was[1], target) is null then
        raise exception 'payouts that are % cannot become % together', array_to_string(was, ', '), target
            using errcode = 'restrict_violation';
    end if;
    update payouts.payouts
    set status = target, block_reasons = '{}'
    where payout_number = any(moved);
    perform payouts.book_step(moved, was[1], target, reference);
end
$$;

create or replace function payouts.move(moved text [], target text, reference text)
returns void language plpgsql as $$
begin
    perform payouts.lock_to_book(moved);
    perform payouts.move_each(moved, target, reference);
end
$$;

create or replace function payouts.move_one(moved text, target text) returns void language plpgsql as $$
begin
    perform payouts.move_each(array[moved], target, null);
end
$$;

-- As it was, but from the end: what rails tell comes mostly in order, and while somebody reads an old state
-- of these tables, the index keeps what is paid since.
drop index payouts.payouts_unfinished;
create index payouts_unfinished on payouts.payouts (payout_window, payout_number)
where status in ('submitted', 'awaiting_reconciliation');

create or replace function payouts.settle(settled_batch text, actor text) returns void language plpgsql as $$
begin
    perform
    from payouts.payouts
    inner join payouts.batch_items
        on payouts.payout_number = batch_items.payout_number and batch_items.batch_id = settled_batch
    where
        payouts.payout_window = (select payout_window from payouts.batches where batch_id = settled_batch)
        and payouts.status in ('submitted', 'awaiting_reconciliation')
    order by payouts.payout_window desc, payouts.payout_number desc
    limit 1;
    if found then
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

-- What a transfer is called: one to which the rail gives no name is found by the rail's receipt and our
-- number.
create function payouts.transfer_name(paid_payout text, reference text)
returns text language plpgsql stable as $$
begin
    if reference <> '' then
        return left(reference, 500);
    end if;
    return coalesce(
        (
            select batches.rail_batch_id || ':' || paid_payout
            from payouts.batch_items as items
            inner join payouts.batches on items.batch_id = batches.batch_id
            where items.payout_number = paid_payout and items.released_at is null
        ),
        paid_payout
    );
end
$$;

-- What can be booked together, turn by turn in the given order: a payout once, and a transfer once, as what
-- is said of either again depends on what became of it. Numbers behind a transfer's name say that it is said
-- again.
create function payouts.in_turns(items bigint [], numbers text [], transfers text [])
returns setof bigint [] language plpgsql as $$
declare
    rest bigint [] := items;
    turn bigint [];
begin
    while cardinality(rest) > 1 loop
        select array_agg(waiting.item order by waiting.place) into turn
        from (
            select
                said.item,
                said.place,
                row_number() over (partition by said.number order by said.place) as nth_of_payout,
                row_number() over (
                    partition by split_part(said.transfer, '#', 1) order by said.place
                ) as nth_of_transfer
            from unnest(items, numbers, transfers) with ordinality as said (item, number, transfer, place)
            where said.item = any(rest)
        ) as waiting
        where waiting.nth_of_payout = 1 and waiting.nth_of_transfer = 1;
        return next turn;
        rest := array(select item from unnest(rest) as item where item <> all(turn));
    end loop;
    if cardinality(rest) = 1 then
        return next rest;
    end if;
end
$$;

create or replace function payouts.is_known_execution(
    payout payouts.payouts, reference text, told_amount numeric
) returns boolean language plpgsql stable as $$
begin
    return
        exists (
            select from payouts.resolutions
            where payout_number = payout.payout_number and verdict = 'retry'
        )
        and exists (
            select from payouts.newest_word(payout.rail, reference) as word
            where word.payout_number = payout.payout_number and word.amount = told_amount
        );
end
$$;

-- The steps that a payout goes because of what is said of it; none if nothing follows.
create function payouts.targets_of(payout payouts.payouts, said payouts.word)
returns text [] language plpgsql stable as $$
begin
    return case
        when said.status = 'completed' then case
            -- A person has decided what this execution means.
            when payouts.is_known_execution(payout, said.external_reference, said.amount) then '{}'
            when payout.status in ('reversed', 'awaiting_reconciliation') then '{}'
            when payout.status = 'paid' then case
                when said.amount <> payouts.known_amount(payout) then array['awaiting_reconciliation']
                else '{}'
            end
            when said.amount <> payout.amount then array['awaiting_reconciliation']
            when payout.status = 'submitted' then array['paid']
            when payout.status = 'failed' and not payouts.has_rolled(payout)
                then array['awaiting_reconciliation', 'paid']
            else array['awaiting_reconciliation']
        end
        when said.status not in ('failed', 'returned') then '{}'
        -- Not what was promised comes back: a person has accepted another amount.
        when payout.status = 'paid' and payouts.known_amount(payout) <> payout.amount
            then array['awaiting_reconciliation']
        when payout.status = 'paid' then array['returned']
        when payout.status <> 'submitted' then '{}'
        when said.status = 'failed' then array['failed']
        else array['paid', 'returned']
    end;
end
$$;

drop function payouts.conclude(
    text, text, numeric, text, text, text, timestamptz, bigint, text, timestamptz, text
);

-- Book what follows from words of which no two are about one payout or one transfer. Returns how many payouts
-- moved. The caller has locked what that needs.
create function payouts.conclude(words payouts.word [], actor text) returns integer language plpgsql as $$
declare
    concluded payouts.conclusion [];
    numbers text [];
    most_steps integer;
    was_open boolean;
    step record;
begin
    with

    moving as materialized (
        select
            said,
            payouts.status as was,
            payouts.paid_with,
            targets,
            payouts.rail,
            coalesce(said.amount, payouts.amount) as amount,
            case
                when said.status = 'completed'
                    then payouts.transfer_name(said.payout_number, said.external_reference)
            end as transfer
        from unnest(words) as said
        inner join payouts.payouts on said.payout_number = payouts.payout_number
        cross join lateral payouts.targets_of(payouts, said) as targets
        where cardinality(targets) > 0
    ),

    known as materialized (
        select
            moving.*,
            case
                when exists (
                    select from payouts.executions
                    where (rail, external_reference) = (moving.rail, moving.transfer)
                ) then payouts.newest_word(moving.rail, moving.transfer)
            end as noted
        from moving
    ),

    judged as (
        select
            known.*,
            -- The same transfer cannot have paid two payouts, and one that moved nothing has paid none.
            coalesce(
                known.transfer is not null
                and ((known.noted).payout_number <> (known.said).payout_number or known.amount <= 0),
                false
            ) as is_impossible
        from known
    )

    select
        array_agg(
            row(
                judged.said,
                judged.was,
                judged.paid_with,
                case when judged.is_impossible then array['awaiting_reconciliation'] else judged.targets end,
                judged.rail,
                case
                    when judged.is_impossible or (judged.noted).amount = judged.amount then null
                    when (judged.noted).execution_id is null then judged.transfer
                    else payouts.reference_again(judged.transfer, judged.noted)
                end,
                judged.amount,
                (judged.noted).execution_id
            )::payouts.conclusion
        ),
        array_agg((judged.said).payout_number),
        max(cardinality(judged.targets)),
        bool_or(judged.was in ('ready', 'blocked'))
    into concluded, numbers, most_steps, was_open
    from judged;
    if concluded is null then
        return 0;
    end if;
    -- In one statement: whoever is told of the step is told why, and with which reference.
    with added as (
        insert into payouts.executions (
            payout_number, rail, external_reference, amount, executed_at, source, event_id, batch_id,
            asked_at, corrects, noted_by
        )
        select
            (each.said).payout_number, each.rail, each.transfer, each.amount, (each.said).executed_at, 'rail',
            (each.said).event_id, (each.said).batch_id, (each.said).asked_at, each.corrects, conclude.actor
        from unnest(concluded) as each
        where each.transfer is not null
        order by (each.said).payout_number
        returning executions.payout_number, executions.external_reference
    )

    update payouts.payouts
    set
        status = said.targets[1],
        block_reasons = '{}',
        reference_id = coalesce(said.transfer, payouts.reference_id),
        external_reference = coalesce(said.external_reference, payouts.external_reference),
        failure_code = case when said.fails then said.failure_code end,
        failure_reason = case when said.fails then said.failure_reason end
    from (
        select
            (each.said).*,
            each.targets,
            added.external_reference as transfer,
            each.targets[cardinality(each.targets)] in ('failed', 'returned') as fails
        from unnest(concluded) as each
        left join added on (each.said).payout_number = added.payout_number
    ) as said
    where payouts.payout_number = said.payout_number;
    for step in
        select each.was, each.targets[1] as becomes, array_agg((each.said).payout_number) as numbers
        from unnest(concluded) as each
        group by each.was, each.targets[1]
        order by min((each.said).payout_number)
    loop
        perform payouts.book_step(step.numbers, step.was, step.becomes, null);
    end loop;
    if most_steps > 1 then
        for step in
            select each.targets[2] as becomes, array_agg((each.said).payout_number) as numbers
            from unnest(concluded) as each
            where cardinality(each.targets) > 1
            group by each.targets[1], each.targets[2]
            order by min((each.said).payout_number)
        loop
            perform payouts.move_each(step.numbers, step.becomes, null);
        end loop;
    end if;
    perform payouts.audit_each(
        actor, array_agg(noted.target), array_agg('payout:' || noted.payout_number),
        array_agg(jsonb_build_object('status', noted.was)),
        array_agg(jsonb_build_object(
            'status', noted.target, 'external_reference', noted.external_reference, 'amount', noted.amount
        )),
        array_agg(coalesce('event ' || noted.event_id, 'look-up of batch ' || noted.batch_id))
    )
    from (
        select (each.said).*, each.was, each.targets[cardinality(each.targets)] as target
        from unnest(concluded) as each
        order by (each.said).payout_number
    ) as noted;
    perform payouts.settle(touched.batch_id, actor)
    from (
        select items.batch_id from payouts.batch_items as items
        where items.payout_number = any(numbers) and items.released_at is null
        group by items.batch_id
        order by items.batch_id
    ) as touched;
    if was_open then
        -- What could still be decided on is not what it was: other content, other digest.
        perform payouts.renew_batch(batches)
        from payouts.batches
        where
            batches.paid_with in (
                select each.paid_with from unnest(concluded) as each where each.was in ('ready', 'blocked')
            )
            and batches.state in ('frozen', 'approved');
    end if;
    return cardinality(concluded);
end
$$;

drop function payouts.note_execution(
    payouts.payouts, text, numeric, timestamptz, bigint, text, timestamptz, text
);

drop function payouts.apply_event(bigint, text);

-- Apply events if they can be: each once, by its effect.
create function payouts.apply_events(applied bigint [], actor text)
returns table (event_id bigint, verdict text) language plpgsql as $$
#variable_conflict use_column
declare
    turn bigint [];
    words payouts.word [];
    seen bigint [];
    verdicts text [];
begin
    perform payouts.lock_to_book(
        array(select payout_number from payouts.rail_events where event_id = any(applied))
    );
    for turn in
        select payouts.in_turns(
            array_agg(events.event_id order by events.event_id),
            array_agg(coalesce(events.payout_number, '') order by events.event_id),
            array_agg(
                payouts.transfer_name(coalesce(events.payout_number, ''), events.external_reference)
                order by events.event_id
            )
        )
        from payouts.rail_events as events
        where events.event_id = any(applied)
    loop
        select
            array_agg(
                row(
                    inbox.payout_number, inbox.status, inbox.amount, inbox.external_reference,
                    inbox.failure_code, inbox.failure_reason, coalesce(inbox.occurred_at, inbox.received_at),
                    inbox.event_id, null, null
                )::payouts.word
            ) filter (where inbox.verdict = 'book'),
            array_agg(inbox.event_id),
            array_agg(inbox.verdict)
        into words, seen, verdicts
        from payouts.inbox
        where inbox.event_id = any(turn);
        perform payouts.conclude(words, actor);
        update payouts.event_outcomes as outcomes
        set
            outcome = case
                when decided.verdict = 'no_effect' then 'no_effect'
                when (
                    select payouts.status from payouts.payouts
                    inner join payouts.rail_events as events on payouts.payout_number = events.payout_number
                    where events.event_id = outcomes.event_id
                ) = 'paid' then 'booked'
                else 'overruled'
            end,
            decided_at = clock_timestamp()
        from unnest(seen, verdicts) as decided (event_id, verdict)
        where
            outcomes.event_id = decided.event_id
            and decided.verdict in ('book', 'no_effect')
            and outcomes.outcome is null;
        return query select * from unnest(seen, verdicts);
    end loop;
end
$$;

-- As it was, with all that can be booked together in one go.
create or replace function payouts.confirm(confirmed_batch text, asked timestamptz, states jsonb, actor text)
returns integer language plpgsql as $$
declare
    turn bigint [];
    words payouts.word [];
    moved integer := 0;
begin
    perform payouts.lock_to_book(
        array(select item ->> 'reference' from jsonb_array_elements(states) as item)
    );
    for turn in
        select payouts.in_turns(
            array_agg(said.place order by said.number, said.place),
            array_agg(said.number order by said.number, said.place),
            array_agg(
                payouts.transfer_name(said.number, said.reference) order by said.number, said.place
            )
        )
        from (
            select place, item ->> 'reference' as number, item ->> 'external_reference' as reference
            from jsonb_array_elements(states) with ordinality as each (item, place)
        ) as said
    loop
        with told as (
            insert into payouts.rail_states as known (
                batch_id, payout_number, status, is_final, amount, external_reference, failure_code,
                failure_reason, rail_updated_at, asked_at
            )
            select
                confirmed_batch, state.reference, state.status, state.final, state.amount,
                state.external_reference, state.failure_code, state.failure_reason, state.updated_at, asked
            from jsonb_array_elements(states) with ordinality as each (item, place)
            cross join lateral jsonb_to_record(each.item) as state (
                reference text, status text, final boolean, amount numeric, external_reference text,
                failure_code text, failure_reason text, updated_at timestamptz
            )
            where each.place = any(turn)
            order by state.reference
            on conflict (batch_id, payout_number) do update set
                status = excluded.status,
                is_final = excluded.is_final,
                amount = excluded.amount,
                external_reference = excluded.external_reference,
                failure_code = excluded.failure_code,
                failure_reason = excluded.failure_reason,
                rail_updated_at = excluded.rail_updated_at,
                asked_at = excluded.asked_at
            -- An older answer than the one we have is no news.
            where known.asked_at <= excluded.asked_at
            returning known.*
        )

        select
            array_agg(
                row(
                    told.payout_number, told.status, told.amount, told.external_reference, told.failure_code,
                    told.failure_reason, coalesce(told.rail_updated_at, asked), null, confirmed_batch, asked
                )::payouts.word
            )
        into words
        from told
        -- What was never sent there is listed as a break, and not believed.
        inner join payouts.batch_items as items
            on told.batch_id = items.batch_id and told.payout_number = items.payout_number
        inner join payouts.payouts on items.payout_number = payouts.payout_number
        where told.is_final and payouts.rail <> 'MANUAL';
        moved := moved + payouts.conclude(words, actor);
        update payouts.event_outcomes as outcomes
        set
            outcome = case inbox.verdict when 'no_effect' then 'no_effect' else 'overruled' end,
            decided_at = clock_timestamp()
        from payouts.inbox
        where
            outcomes.event_id = inbox.event_id
            and inbox.outcome is null
            and inbox.payout_number in (select payout_number from unnest(words))
            and inbox.received_at < asked
            and inbox.verdict in ('no_effect', 'other_amount', 'not_submitted', 'needs_look_up');
    end loop;
    return moved;
end
$$;

-- Fired late: when the caller commits, as whoever that is.
alter function payouts.refuse_empty_transaction security definer set search_path = pg_catalog, pg_temp;
-- Planned once for any number of payouts, and by index whatever statistics said of tables when that was.
do $$
declare
    door text;
begin
    foreach door in array array['apply_events', 'confirm'] loop
        execute format(
            'alter function payouts.%I security definer set search_path = pg_catalog, pg_temp'
            ' set plan_cache_mode = force_generic_plan set enable_seqscan = off',
            door
        );
    end loop;
end
$$;

grant execute on function payouts.apply_events to weekclose_operator, weekclose_webhook;
