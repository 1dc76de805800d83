-- Monday's decisions. Each is a function: it checks, changes, moves the batch's digest, voids an approval
-- that was given for other content, and leaves an audit row, all in the caller's transaction.
--
-- A refusal raises SQLSTATE WC003 (a guard says no) or WC005 (there is nothing to do), with a line for people.

alter table payouts.batches add column approved_at timestamptz;
alter table payouts.batches add constraint batches_approval_names_its_time
check ((approved_by is null) = (approved_at is null));
alter table payouts.batches add constraint batches_go_on_approved
check ((state = 'frozen') = (approved_by is null));

-- What an approver binds himself to: the frozen content, and which payouts are to go out.
create function payouts.batch_digest(digested_window date) returns text language sql stable as $$
    select encode(sha256(convert_to(
        (select content_digest from payouts.frozen_windows where payout_window = digested_window) || coalesce(
            string_agg(
                e'\n' || jsonb_build_array(payout_number, status, block_reasons)::text, ''
                order by payout_number collate "C"
            ),
            ''
        ),
        'UTF8'
    )), 'hex')
    from payouts.payouts
    where payout_window = digested_window
$$;

-- The batch of a window that can still be decided on, locked: decisions and approvals take turns.
create function payouts.open_batch(decided_window date) returns payouts.batches language plpgsql as $$
declare
    batch payouts.batches;
begin
    select * into batch
    from payouts.batches
    where payout_window = decided_window and state <> 'rejected'
    for update;
    if not found then
        raise exception 'window % has no batch: it is not frozen, or pays nobody', decided_window
            using errcode = 'WC005';
    end if;
    if batch.state not in ('frozen', 'approved') then
        raise exception 'batch % is %: it cannot be decided on any more', batch.batch_id, batch.state
            using errcode = 'WC003';
    end if;
    return batch;
end
$$;

-- Other content, other digest: an approval of what it was before is void.
create function payouts.renew_batch(batch payouts.batches) returns text language plpgsql as $$
declare
    digest text := payouts.batch_digest(batch.payout_window);
begin
    update payouts.batches
    set content_digest = digest, state = 'frozen', approved_by = null, approved_at = null
    where batch_id = batch.batch_id;
    return digest;
end
$$;

-- A payout that was blocked when a later window was frozen has rolled: its money is in that window's carry-in.
create function payouts.has_rolled(payout payouts.payouts) returns boolean language sql stable as $$
    select payout.status = 'blocked' and exists (
        select from payouts.frozen_windows as later
        where later.payout_window > payout.payout_window and later.frozen_at >= payout.status_changed_at
    )
$$;

create function payouts.hold(held_window date, held_seller text, why text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
    payout payouts.payouts;
    held integer := 0;
begin
    batch := payouts.open_batch(held_window);
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
            payout_window = held_window and seller_id = held_seller and status in ('ready', 'blocked')
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

-- Take one reason off a seller's blocked payouts; those without another are ready again. Returns how many.
create function payouts.lift(lifted_window date, lifted_seller text, lifted_reason text)
returns integer language plpgsql as $$
declare
    payout payouts.payouts;
    lifted integer := 0;
begin
    for payout in
        select * from payouts.payouts
        where
            payout_window = lifted_window
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

create function payouts.release(released_window date, released_seller text, why text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
begin
    batch := payouts.open_batch(released_window);
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

-- A clearance counts from now on; it also frees what the newest frozen window blocks for a review, unless
-- that money has rolled.
create function payouts.clear(cleared_seller text, why text, actor text) returns bigint language plpgsql as $$
declare
    batch payouts.batches;
    latest date := (select max(payout_window) from payouts.frozen_windows);
    digests jsonb := '{}';
begin
    insert into payouts.clearances (seller_id, reason, cleared_by) values (cleared_seller, why, actor);
    if exists (
        select from payouts.payouts
        where
            payout_window = latest
            and seller_id = cleared_seller
            and status = 'blocked'
            and 'manual_review' = any(block_reasons)
    ) then
        batch := payouts.open_batch(latest);
        perform payouts.lift(latest, cleared_seller, 'manual_review');
        digests := jsonb_build_object('window', latest, 'content_digest', payouts.renew_batch(batch));
    end if;
    return payouts.audit(actor, 'clear', format('seller:%s', cleared_seller), null, digests, why);
end
$$;

create function payouts.approve(approved_window date, seen_digest text, actor text)
returns bigint language plpgsql as $$
declare
    batch payouts.batches;
begin
    batch := payouts.open_batch(approved_window);
    if batch.content_digest <> seen_digest then
        raise exception 'the content of window % has changed: its digest is now %', approved_window, batch.content_digest
            using errcode = 'WC003';
    end if;
    if batch.state = 'approved' then
        raise exception 'window % is approved already, by %', approved_window, batch.approved_by
            using errcode = 'WC005';
    end if;
    if not exists (select from payouts.payouts where payout_window = approved_window and status = 'ready') then
        raise exception 'window % has no payout that is ready', approved_window using errcode = 'WC005';
    end if;
    update payouts.batches
    set state = 'approved', approved_by = actor, approved_at = now()
    where batch_id = batch.batch_id;
    return payouts.audit(
        actor, 'approve', format('batch:%s', batch.batch_id),
        jsonb_build_object('state', 'frozen'),
        jsonb_build_object('state', 'approved', 'content_digest', seen_digest)
    );
end
$$;

-- Four eyes: who froze, held, released or cleared does not approve, through whichever statement. The digest
-- is taken once more, so that nothing else has moved either.
create function payouts.check_approval() returns trigger language plpgsql as $$
declare
    deed text;
begin
    select deeds.deed into deed
    from (
        select 'froze' as deed, frozen_by as actor from payouts.frozen_windows where payout_window = new.payout_window
        union all
        select 'held', held_by from payouts.holds where payout_window = new.payout_window
        union all
        select 'released', released_by from payouts.holds where payout_window = new.payout_window
        union all
        select 'cleared', clearances.cleared_by
        from payouts.clearances
        inner join payouts.payouts on clearances.seller_id = payouts.seller_id
        inner join payouts.frozen_windows on payouts.payout_window = frozen_windows.payout_window
        where
            payouts.payout_window = new.payout_window
            and clearances.cleared_at >= frozen_windows.frozen_at
    ) as deeds
    where deeds.actor = new.approved_by
    limit 1;
    if found then
        raise exception '% % in window %: another person has to approve it', new.approved_by, deed, new.payout_window
            using errcode = 'WC003';
    end if;
    if new.content_digest <> payouts.batch_digest(new.payout_window) then
        raise exception 'batch % is not what its digest says', new.batch_id using errcode = 'WC003';
    end if;
    return new;
end
$$;

create trigger batches_are_approved_by_another before insert or update on payouts.batches
for each row when (new.state = 'approved') execute function payouts.check_approval();

-- The first row, if any, at which the chain of the audit log is broken.
create function payouts.first_broken_audit_entry() returns bigint language sql stable as $$
    select entry_id
    from (
        select
            audit_log.*,
            lag(hash, 1, '') over (order by entry_id) as hash_before,
            row_number() over (order by entry_id) as position
        from payouts.audit_log
    ) as chain
    where
        entry_id <> position
        or previous_hash <> hash_before
        or hash <> payouts.audit_hash(
            entry_id, at, actor, action, entity, before, after, reason, previous_hash
        )
    order by entry_id
    limit 1
$$;
