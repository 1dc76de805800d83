-- Adjustments: what a seller owes or is owed beside his sales stays explicit until it is settled.
--
-- An adjustment is proposed, approved by the policy or by a person, and either enters one payout as a line or is
-- collected outside of them. While it is open, the ledger has it on `seller_obligations`.
set local role weekclose_dbt;

-- A table that a build made keeps its columns as they were.
alter table if exists intermediate.int_line_changes alter column order_id drop not null;

set local role weekclose_owner;

alter table raw.sellers add column product text not null default 'standard';
alter table raw.sellers add constraint sellers_product_is_named check (product <> '');

-- Proofs and evidence, named by their content. They are never opened here: only stored and given back.
create table payouts.documents (
    sha256 text primary key,
    media_type text not null,
    content bytea not null,
    stored_by text not null,
    stored_at timestamptz not null default clock_timestamp(),
    constraint documents_are_named_by_their_content check (sha256 = encode(sha256(content), 'hex')),
    constraint documents_have_a_size check (octet_length(content) between 1 and 10 * 1024 * 1024),
    constraint documents_are_what_they_say check (
        case media_type
            when 'application/pdf' then substring(content from 1 for 5) = '\x255044462d'
            when 'image/png' then substring(content from 1 for 8) = '\x89504e470d0a1a0a'
            when 'image/jpeg' then substring(content from 1 for 3) = '\xffd8ff'
            else false
        end
    )
);

-- They are compressed already.
alter table payouts.documents alter column content set storage external;

create trigger documents_never_change before update or delete or truncate on payouts.documents
for each statement execute function payouts.refuse_change();

create function payouts.store_document(content bytea, media_type text, actor text)
returns text language plpgsql as $$
declare
    digest text := encode(sha256(content), 'hex');
begin
    perform payouts.refuse_other_name(actor);
    insert into payouts.documents (sha256, media_type, content, stored_by)
    values (digest, store_document.media_type, store_document.content, actor)
    on conflict do nothing;
    return digest;
end
$$;

create sequence payouts.adjustment_number_seq;

-- One row per obligation. `amount` is what was proposed; `applied_amount`, `applied_to` and `not_before` are
-- what an approved exception made of it. A class that begins with `carry_forward` becomes a line.
create table payouts.adjustments (
    adjustment_number text primary key
    default 'ADJ' || lpad(nextval('payouts.adjustment_number_seq')::text, 7, '0'),
    seller_id text not null,
    currency text not null,
    class text not null,
    direction text not null
    generated always as (case class when 'carry_forward_credit' then 'credit' else 'debit' end) stored,
    amount numeric(18, 2) not null,
    reason text not null,
    note text not null default '',
    invoice_reference text,
    document text references payouts.documents,
    source text not null,
    source_id text,
    mode text not null,
    policy_scope text not null,
    status text not null default 'proposed',
    applied_amount numeric(18, 2) not null,
    applied_to text not null,
    not_before date,
    proposed_by text not null,
    proposed_at timestamptz not null default clock_timestamp(),
    approved_by text,
    approved_at timestamptz,
    payout_window date,
    money_reference text,
    money_document text references payouts.documents,
    settled_at timestamptz,
    constraint adjustments_class_is_known check (
        class in ('carry_forward_deduction', 'carry_forward_credit', 'gross_invoice_fee', 'manual_cash_recovery')
    ),
    constraint adjustments_status_is_known
    check (status in ('proposed', 'approved', 'applied', 'settled', 'cancelled')),
    constraint adjustments_mode_is_known check (mode in ('auto', 'manual', 'exception')),
    constraint adjustments_policy_scope_is_known check (policy_scope in ('product', 'seller', 'default')),
    constraint adjustments_source_is_known
    check (source in ('manual', 'mismatch', 'reversal', 'restatement', 'dispute')),
    constraint adjustments_currency_is_a_code check (currency ~ '^[A-Z][A-Z0-9]{2,9}$'),
    constraint adjustments_name_their_source check (source = 'manual' or source_id is not null),
    constraint adjustments_amount_is_positive check (amount > 0),
    constraint adjustments_enter_at_most_whole check (applied_amount > 0 and applied_amount <= amount),
    constraint adjustments_say_why check (reason <> '' and (class not like 'carry_forward%' or note <> '')),
    constraint adjustments_invoice_is_named
    check ((class = 'gross_invoice_fee') = (coalesce(invoice_reference, '') <> '')),
    constraint adjustments_cash_is_recovered_by_hand check (class <> 'manual_cash_recovery' or mode = 'manual'),
    constraint adjustments_approval_names_its_time check (
        case
            when status = 'proposed' then num_nonnulls(approved_by, approved_at) = 0
            when status = 'cancelled' then true
            else approved_at is not null
        end
    ),
    constraint adjustments_are_lines_or_not check (
        (payout_window is not null) = (class like 'carry_forward%' and status in ('applied', 'settled'))
        and (class like 'carry_forward%' or (status <> 'approved' and applied_to = seller_id and not_before is null))
    ),
    constraint adjustments_settle_once check ((status = 'settled') = (settled_at is not null)),
    constraint adjustments_money_came_with_its_reference check (
        (coalesce(money_reference, '') <> '') = (class not like 'carry_forward%' and status = 'settled')
        and (money_document is not null or class <> 'manual_cash_recovery' or status <> 'settled')
        and (money_document is null or money_reference is not null)
    )
);

alter sequence payouts.adjustment_number_seq owned by payouts.adjustments.adjustment_number;
create index adjustments_seller on payouts.adjustments (seller_id, currency);
create index adjustments_open on payouts.adjustments (applied_to, currency) where status in ('approved', 'applied');
create index adjustments_source on payouts.adjustments (source_id) where source_id is not null;
create unique index adjustments_one_per_dispute on payouts.adjustments (source_id)
where source = 'dispute' and status <> 'cancelled';

-- One row per wish to deviate from what the policy does. It is open until another person has decided.
create table payouts.exceptions (
    exception_id bigint generated always as identity primary key,
    adjustment_number text not null references payouts.adjustments,
    deviation text not null,
    to_amount numeric(18, 2),
    to_window date,
    to_seller text,
    reason text not null,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    decision text,
    decision_note text,
    decided_by text,
    decided_at timestamptz,
    constraint exceptions_deviation_is_known
    check (deviation in ('apply', 'skip', 'defer', 'amount', 'out_of_scope')),
    constraint exceptions_say_what check (
        (to_amount is not null) = (deviation = 'amount')
        and (to_window is not null) = (deviation = 'defer')
        and (to_seller is not null) = (deviation = 'out_of_scope')
    ),
    constraint exceptions_say_why check (reason <> ''),
    constraint exceptions_decision_is_known check (decision in ('approved', 'rejected')),
    constraint exceptions_decision_names_its_time
    check (num_nulls(decision, decision_note, decided_by, decided_at) in (0, 4)),
    constraint exceptions_are_decided_by_another check (decided_by <> requested_by)
);

create unique index exceptions_one_open on payouts.exceptions (adjustment_number) where decision is null;

create function payouts.guard_exception() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.decision is not null then
            raise exception 'an exception of % begins undecided', new.adjustment_number
                using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        old.decision is not null
        or (
            old.exception_id, old.adjustment_number, old.deviation, old.to_amount, old.to_window, old.to_seller,
            old.reason, old.requested_by, old.requested_at
        ) is distinct from (
            new.exception_id, new.adjustment_number, new.deviation, new.to_amount, new.to_window, new.to_seller,
            new.reason, new.requested_by, new.requested_at
        )
    then
        raise exception 'exception % is decided, or another one: it does not change', old.exception_id
            using errcode = 'restrict_violation';
    end if;
    if exists (
        select from payouts.adjustments
        where adjustment_number = new.adjustment_number and proposed_by = new.decided_by
    ) then
        raise exception '% proposed %: another person has to decide', new.decided_by, new.adjustment_number
            using errcode = 'WC003';
    end if;
    return new;
end
$$;

create trigger exceptions_are_decided_once before insert or update on payouts.exceptions
for each row execute function payouts.guard_exception();
create trigger exceptions_are_never_removed before delete or truncate on payouts.exceptions
for each statement execute function payouts.refuse_change();

create function payouts.is_open_exception(number text) returns boolean language sql stable as $$
    select exists (select from payouts.exceptions where adjustment_number = number and decision is null)
$$;

-- Whether somebody still has to decide about what enters this seller's row.
create function payouts.has_open_exception(asked_seller text, asked_currency text)
returns boolean language sql stable as $$
    select exists (
        select from payouts.exceptions
        inner join payouts.adjustments on exceptions.adjustment_number = adjustments.adjustment_number
        where
            exceptions.decision is null
            and adjustments.currency = asked_currency
            and asked_seller in (adjustments.seller_id, adjustments.applied_to, exceptions.to_seller)
    )
$$;

-- What of an obligation was settled in which frozen window, oldest obligation first.
create table payouts.adjustment_allocations (
    adjustment_number text not null references payouts.adjustments,
    payout_window date not null references payouts.frozen_windows deferrable initially deferred,
    amount numeric(18, 2) not null,
    primary key (adjustment_number, payout_window),
    constraint adjustment_allocations_amount_is_positive check (amount > 0)
);

create trigger adjustment_allocations_never_change before update or delete or truncate
on payouts.adjustment_allocations
for each statement execute function payouts.refuse_change();

-- Positive to the seller, as it enters.
create function payouts.signed(adjustment payouts.adjustments) returns numeric language sql immutable as $$
    select case adjustment.direction when 'credit' then adjustment.applied_amount else -adjustment.applied_amount end
$$;

-- What has to stand on `seller_obligations`. A mismatch or a reversal has happened, whether or not anybody has
-- approved what follows; a dispute's debt is in the seller's balance already.
create function payouts.owed(adjustment payouts.adjustments) returns numeric language sql immutable as $$
    select case
        when adjustment.source = 'dispute' or adjustment.status in ('settled', 'cancelled') then 0
        when adjustment.status = 'proposed' and adjustment.source not in ('mismatch', 'reversal') then 0
        when adjustment.status = 'applied' and adjustment.payout_window is not null then 0
        else payouts.signed(adjustment)
    end
$$;

create function payouts.is_step_of_adjustment(class text, was text, becomes text)
returns boolean language sql immutable as $$
    select (was, becomes) in (
        ('proposed', 'cancelled'), ('applied', 'settled'),
        ('proposed', case when class like 'carry_forward%' then 'approved' else 'applied' end),
        (case when class like 'carry_forward%' then 'approved' else 'applied' end, 'cancelled')
    ) or (class like 'carry_forward%' and (was, becomes) = ('approved', 'applied'))
$$;

create function payouts.guard_adjustment() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if
            (new.status, new.applied_amount, new.applied_to) <> ('proposed', new.amount, new.seller_id)
            or new.not_before is not null
        then
            raise exception 'adjustment % begins as it is proposed', new.adjustment_number
                using errcode = 'restrict_violation';
        end if;
        return new;
    end if;
    if
        (
            old.adjustment_number, old.seller_id, old.currency, old.class, old.amount, old.reason, old.note,
            old.invoice_reference, old.document, old.source, old.source_id, old.mode, old.policy_scope,
            old.proposed_by, old.proposed_at
        ) is distinct from (
            new.adjustment_number, new.seller_id, new.currency, new.class, new.amount, new.reason, new.note,
            new.invoice_reference, new.document, new.source, new.source_id, new.mode, new.policy_scope,
            new.proposed_by, new.proposed_at
        )
        or (old.approved_at is not null and (old.approved_by, old.approved_at)
            is distinct from (new.approved_by, new.approved_at))
    then
        raise exception 'adjustment %: what was proposed does not change', old.adjustment_number
            using errcode = 'restrict_violation';
    end if;
    if
        old is distinct from new
        and (
            old.status in ('settled', 'cancelled')
            or (old.payout_window is not null and old.payout_window is distinct from new.payout_window)
        )
    then
        raise exception 'adjustment % is %: that does not change', old.adjustment_number, old.status
            using errcode = 'restrict_violation';
    end if;
    if new.status <> old.status and not payouts.is_step_of_adjustment(old.class, old.status, new.status) then
        raise exception 'adjustment % cannot go from % to %', old.adjustment_number, old.status, new.status
            using errcode = 'restrict_violation';
    end if;
    if
        (old.applied_amount, old.applied_to, old.not_before)
        is distinct from (new.applied_amount, new.applied_to, new.not_before)
        and (
            old.payout_window is not null
            or not exists (
                select from payouts.exceptions
                where
                    adjustment_number = new.adjustment_number
                    and decision = 'approved'
                    and case deviation
                        when 'amount' then to_amount = new.applied_amount
                        when 'out_of_scope' then to_seller = new.applied_to
                        when 'defer' then to_window = new.not_before
                        else false
                    end
            )
        )
    then
        raise exception 'adjustment % deviates without an approved exception', old.adjustment_number
            using errcode = 'restrict_violation';
    end if;
    if new.status <> old.status and payouts.is_open_exception(new.adjustment_number) then
        raise exception 'adjustment % waits for the decision on its exception', old.adjustment_number
            using errcode = 'WC003';
    end if;
    return new;
end
$$;

create trigger adjustments_go_their_way before insert or update on payouts.adjustments
for each row execute function payouts.guard_adjustment();
create trigger adjustments_are_never_removed before delete or truncate on payouts.adjustments
for each statement execute function payouts.refuse_change();

-- A line of an adjustment.
alter table payouts.frozen_lines alter column order_id drop not null;
alter table payouts.frozen_lines drop constraint frozen_lines_kind_is_known;
alter table payouts.frozen_lines
add constraint frozen_lines_kind_is_known
check (kind in ('sale', 'refund', 'dispute_opened', 'dispute_closed', 'adjustment')),
add constraint frozen_lines_adjust_or_have_an_order check (
    case
        when kind = 'adjustment' then
            order_id is null
            and (gross, fees, refunds, disputes) = (0, 0, 0, 0)
            and adjustments = source_amount
            and payout_window = order_window
        else order_id is not null and adjustments = 0
    end
);

create index frozen_lines_adjustments on payouts.frozen_lines (payout_window) where kind = 'adjustment';

create function payouts.guard_adjustment_line() returns trigger language plpgsql as $$
declare
    adjustment payouts.adjustments;
begin
    select * into adjustment from payouts.adjustments where adjustment_number = new.source_id;
    if
        adjustment.status is distinct from 'approved'
        or adjustment.class not like 'carry_forward%'
        or (adjustment.applied_to, adjustment.currency, payouts.signed(adjustment))
        <> (new.seller_id, new.currency, new.adjustments)
        or adjustment.not_before > new.payout_window
        or payouts.is_open_exception(new.source_id)
    then
        raise exception
            'adjustment % is not what the build has seen: run weekclose sunday again', new.source_id
            using errcode = 'WC003';
    end if;
    return new;
end
$$;

create trigger frozen_lines_adjust_as_approved before insert on payouts.frozen_lines
for each row when (new.kind = 'adjustment') execute function payouts.guard_adjustment_line();

-- The ledger.
alter table payouts.ledger_transactions drop constraint ledger_transactions_kind_is_known;
alter table payouts.ledger_transactions add constraint ledger_transactions_kind_is_known
check (
    kind in (
        'freeze', 'submit', 'release', 'pay', 'fail', 'return', 'reopen', 'recognize', 'forgive', 'recover'
    )
);
alter table payouts.ledger_entries add column adjustment_number text references payouts.adjustments;
alter table payouts.ledger_entries drop constraint ledger_entries_account_is_known;
alter table payouts.ledger_entries add constraint ledger_entries_account_is_known check (
    account in (
        'seller_payable', 'payouts_in_transit', 'payouts_paid', 'sales_clearing', 'platform_fees',
        'seller_obligations', 'payout_corrections', 'cash_recovered', 'write_offs'
    )
);
alter table payouts.ledger_entries add constraint ledger_entries_obligations_are_of_an_adjustment
check (account <> 'seller_obligations' or adjustment_number is not null);

create index ledger_entries_adjustment on payouts.ledger_entries (adjustment_number)
where adjustment_number is not null;

create function payouts.is_obligation_booked(adjustment payouts.adjustments)
returns boolean language sql stable as $$
    select coalesce(sum(amount), 0) = payouts.owed(adjustment)
    from payouts.ledger_entries
    where adjustment_number = adjustment.adjustment_number and account = 'seller_obligations'
$$;

-- No state of an obligation without its booking, and no line that is said to be frozen and is not.
create function payouts.refuse_unbooked_adjustment() returns trigger language plpgsql as $$
begin
    if exists (
        select from payouts.adjustments
        where adjustment_number = new.adjustment_number and not payouts.is_obligation_booked(adjustments)
    ) then
        raise exception 'adjustment % is not what the ledger has of it', new.adjustment_number
            using errcode = 'check_violation';
    end if;
    if new.payout_window is not null and not exists (
        select from payouts.frozen_lines
        where
            line_id = 'adjustment:' || new.adjustment_number
            and (payout_window, seller_id, currency) = (new.payout_window, new.applied_to, new.currency)
    ) then
        raise exception 'adjustment % has no line in window %', new.adjustment_number, new.payout_window
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create constraint trigger adjustments_are_booked after insert or update on payouts.adjustments
deferrable initially deferred
for each row execute function payouts.refuse_unbooked_adjustment();

-- No booking without its state. Whoever books changes the state first.
create function payouts.refuse_unstated_adjustment() returns trigger language plpgsql as $$
declare
    astray text;
begin
    select adjustments.adjustment_number into astray
    from payouts.adjustments
    where
        adjustments.adjustment_number in (select added.adjustment_number from added)
        and not payouts.is_obligation_booked(adjustments)
    limit 1;
    if found then
        raise exception 'adjustment % is not what this booking would make of it', astray
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create trigger ledger_entries_follow_adjustments after insert on payouts.ledger_entries
referencing new table as added
for each statement execute function payouts.refuse_unstated_adjustment();

-- An adjustment, locked, with what booking it needs: turns, the adjustment, the audit chain.
create function payouts.lock_adjustment(number text) returns payouts.adjustments language plpgsql as $$
declare
    adjustment payouts.adjustments;
begin
    lock table payouts.turns in row exclusive mode;
    select * into adjustment from payouts.adjustments where adjustment_number = number for update;
    if not found then
        raise exception 'there is no adjustment %', number using errcode = 'WC005';
    end if;
    perform pg_advisory_xact_lock(hashtext('weekclose audit chain'));
    return adjustment;
end
$$;

-- Book what the ledger lacks of an obligation. `against` null: the account that the obligation comes from.
create function payouts.book_obligation(number text, step_kind text, against text default null)
returns void language plpgsql as $$
declare
    adjustment payouts.adjustments;
    missing numeric;
    booked_before bigint;
    booked bigint;
begin
    select * into adjustment from payouts.adjustments where adjustment_number = number;
    select payouts.owed(adjustment) - coalesce(sum(amount), 0) into missing
    from payouts.ledger_entries
    where adjustment_number = number and account = 'seller_obligations';
    if missing = 0 then
        return;
    end if;
    select count(*) into booked_before
    from payouts.ledger_transactions
    where
        kind = step_kind
        and transaction_id in (
            select transaction_id from payouts.ledger_entries where adjustment_number = number
        );
    insert into payouts.ledger_transactions (kind, reference)
    values (step_kind, number || case when booked_before > 0 then '#' || booked_before + 1 else '' end)
    returning transaction_id into booked;
    insert into payouts.ledger_entries (
        transaction_id, account, seller_id, currency, amount, adjustment_number
    )
    select booked, side.account, adjustment.seller_id, adjustment.currency, side.amount, number
    from (
        values
        ('seller_obligations', missing),
        (
            coalesce(
                against,
                case
                    when adjustment.class = 'gross_invoice_fee' then 'platform_fees'
                    when adjustment.source not in ('mismatch', 'reversal') then 'sales_clearing'
                    when step_kind = 'forgive' then 'write_offs'
                    else 'payout_corrections'
                end
            ),
            -missing
        )
    ) as side (account, amount)
    order by side.account;
end
$$;

-- What the policy says of a class for a seller: by his product, else by himself, else for all.
create function payouts.adjustment_policy(
    asked_seller text, asked_class text, out mode text, out scope text, out needs_document boolean
) language plpgsql stable as $$
declare
    its_product text;
begin
    select product into its_product from staging.stg_sellers where seller_id = asked_seller;
    if not found then
        raise exception 'there is no seller %', asked_seller using errcode = 'WC003';
    end if;
    select policies.mode, policies.scope, policies.needs_document
    into adjustment_policy.mode, adjustment_policy.scope, adjustment_policy.needs_document
    from seeds.adjustment_policies as policies
    where
        policies.class = asked_class
        and (
            (policies.scope = 'product' and policies.scope_value = its_product)
            or (policies.scope = 'seller' and policies.scope_value = asked_seller)
            or policies.scope = 'default'
        )
    order by array_position(array['product', 'seller', 'default'], policies.scope)
    limit 1;
    if not found then
        raise exception 'seeds/adjustment_policies.csv has no default for class %', asked_class
            using errcode = 'WC003';
    end if;
exception
    when undefined_table then
        raise exception 'the policies are not in the database yet: run weekclose sunday --no-freeze first'
            using errcode = 'WC003';
end
$$;

-- While a seller's exception is open his money stays: his payouts of windows that can be decided on are
-- blocked, and freed when nothing is open any more and their money has not rolled.
create function payouts.mark_exceptions(marked_seller text, marked_currency text)
returns void language plpgsql as $$
declare
    is_open boolean := payouts.has_open_exception(marked_seller, marked_currency);
    batch payouts.batches;
    payout payouts.payouts;
begin
    for batch in
        select batches.* from payouts.batches
        inner join payouts.payouts on batches.payout_window = payouts.payout_window
        where
            (payouts.seller_id, payouts.currency) = (marked_seller, marked_currency)
            and payouts.status in ('ready', 'blocked')
            and batches.state in ('frozen', 'approved')
        order by batches.batch_id
        for update of batches
    loop
        select * into payout from payouts.payouts
        where
            (payout_window, seller_id, currency) = (batch.payout_window, marked_seller, marked_currency)
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

create function payouts.open_exception(
    number text, wished text, other_amount numeric, other_window date, other_seller text, why text, actor text
) returns bigint language plpgsql as $$
declare
    adjustment payouts.adjustments;
    opened bigint;
begin
    insert into payouts.exceptions (
        adjustment_number, deviation, to_amount, to_window, to_seller, reason, requested_by
    )
    values (number, wished, other_amount, other_window, other_seller, why, actor)
    returning exception_id into opened;
    select * into adjustment from payouts.adjustments where adjustment_number = number;
    perform payouts.mark_exceptions(sellers.seller_id, adjustment.currency)
    from (
        values (adjustment.seller_id), (adjustment.applied_to), (other_seller)
    ) as sellers (seller_id)
    where sellers.seller_id is not null
    group by sellers.seller_id
    order by sellers.seller_id collate "C";
    perform payouts.audit(
        actor, 'exception open', 'adjustment:' || number, null,
        jsonb_build_object(
            'exception', opened, 'deviation', wished, 'amount', other_amount, 'window', other_window,
            'seller', other_seller
        ),
        why
    );
    return opened;
end
$$;

-- Record an obligation, and do with it what the policy says. Returns its number.
create function payouts.record_adjustment(
    its_seller text, its_currency text, its_class text, its_amount numeric, why text, its_note text,
    invoice text, proof text, its_source text, its_source_id text, actor text
) returns text language plpgsql as $$
declare
    policy record;
    number text;
begin
    lock table payouts.turns in row exclusive mode;
    if its_amount <= 0 or its_amount <> round(its_amount, 2) then
        raise exception 'an adjustment of % is none: give a positive amount with at most two decimals', its_amount
            using errcode = 'WC003';
    end if;
    select * into policy from payouts.adjustment_policy(its_seller, its_class);
    if policy.needs_document and proof is null and its_source not in ('mismatch', 'reversal') then
        raise exception '% of seller % needs a document: give it with --file', its_class, its_seller
            using errcode = 'WC003';
    end if;
    insert into payouts.adjustments (
        seller_id, currency, class, amount, reason, note, invoice_reference, document, source, source_id, mode,
        policy_scope, applied_amount, applied_to, proposed_by
    )
    values (
        its_seller, its_currency, its_class, its_amount, why, its_note, invoice, proof, its_source,
        its_source_id, policy.mode, policy.scope, its_amount, its_seller, actor
    )
    returning adjustment_number into number;
    if policy.mode = 'auto' then
        update payouts.adjustments
        set
            status = case when class like 'carry_forward%' then 'approved' else 'applied' end,
            approved_at = clock_timestamp()
        where adjustment_number = number;
    end if;
    if policy.mode = 'exception' then
        perform payouts.open_exception(number, 'apply', null, null, null, why, actor);
    end if;
    perform payouts.audit(
        actor, 'adjust propose', 'adjustment:' || number, null,
        jsonb_build_object(
            'seller', its_seller, 'currency', its_currency, 'class', its_class, 'amount', its_amount,
            'source', its_source, 'source_id', its_source_id, 'mode', policy.mode, 'scope', policy.scope,
            'document', proof
        ),
        concat_ws(': ', why, nullif(its_note, ''))
    );
    perform payouts.book_obligation(number, 'recognize');
    return number;
end
$$;

create function payouts.propose_adjustment(
    its_seller text, its_currency text, its_class text, its_amount numeric, why text, its_note text,
    invoice text, proof text, about_payout text, actor text
) returns text language plpgsql as $$
declare
    known text;
begin
    lock table payouts.turns in row exclusive mode;
    perform pg_advisory_xact_lock(hashtext('weekclose audit chain'));
    if about_payout is not null and not exists (
        select from payouts.payouts
        where (payout_number, seller_id, currency) = (about_payout, its_seller, its_currency)
    ) then
        raise exception 'seller % has no payout % in %', its_seller, about_payout, its_currency
            using errcode = 'WC003';
    end if;
    -- A command whose connection broke after its commit is run again.
    select adjustment_number into known
    from payouts.adjustments
    where
        source = 'manual'
        and status <> 'cancelled'
        and (seller_id, currency, class, amount, reason, note, proposed_by)
        = (its_seller, its_currency, its_class, its_amount, why, its_note, actor)
        and (invoice_reference, source_id) is not distinct from (invoice, about_payout);
    if found then
        raise exception '% is just that already: another note tells two apart', known using errcode = 'WC005';
    end if;
    return payouts.record_adjustment(
        its_seller, its_currency, its_class, its_amount, why, its_note, invoice, proof, 'manual', about_payout,
        actor
    );
end
$$;

-- What a frozen line's raw row says by now, less what the line and its adjustments have given the seller.
create function payouts.restated_difference(line text) returns numeric language plpgsql stable as $$
declare
    difference numeric;
begin
    select coalesce(events.restated_amount, events.source_amount) - events.source_amount - coalesce(
        (
            select sum(payouts.signed(adjustments))
            from payouts.adjustments
            where source = 'restatement' and source_id = line and status <> 'cancelled'
        ),
        0
    )
    into difference
    from intermediate.int_order_events as events
    where events.line_id = line and events.kind in ('sale', 'refund');
    return coalesce(difference, 0);
end
$$;

-- Make an adjustment of a break: of a frozen line whose raw row has changed, or of a dispute that took the
-- seller's balance below zero, so that only cash can settle it.
create function payouts.propose_from(line text, why text, its_note text, proof text, actor text)
returns text language plpgsql as $$
declare
    frozen payouts.frozen_lines;
    difference numeric;
    debt numeric;
begin
    select * into frozen from payouts.frozen_lines where line_id = line;
    if not found then
        raise exception 'there is no frozen line %', line using errcode = 'WC003';
    end if;
    difference := payouts.restated_difference(line);
    if difference <> 0 then
        return payouts.record_adjustment(
            frozen.seller_id, frozen.currency,
            case when difference > 0 then 'carry_forward_credit' else 'carry_forward_deduction' end,
            abs(difference), why, its_note, null, proof, 'restatement', line, actor
        );
    end if;
    if exists (
        select from payouts.adjustments where source = 'dispute' and source_id = line and status <> 'cancelled'
    ) then
        raise exception 'line % is being recovered already', line using errcode = 'WC005';
    end if;
    if frozen.kind = 'dispute_opened' then
        -- Less what is being recovered because of other lines.
        select
            least(
                frozen.disputes,
                -balance - coalesce(
                    (
                        select sum(adjustments.applied_amount)
                        from payouts.adjustments
                        where
                            source = 'dispute'
                            and (seller_id, currency) = (frozen.seller_id, frozen.currency)
                            and status in ('proposed', 'applied')
                    ),
                    0
                )
            )
        into debt
        from payouts.account_balances
        where (account, seller_id, currency) = ('seller_payable', frozen.seller_id, frozen.currency);
    end if;
    if coalesce(debt, 0) <= 0 then
        raise exception 'line % is as its raw row says, and leaves no debt: nothing to adjust', line
            using errcode = 'WC005';
    end if;
    return payouts.record_adjustment(
        frozen.seller_id, frozen.currency, 'manual_cash_recovery', debt, why, its_note, null, proof, 'dispute',
        line, actor
    );
end
$$;

-- Select an adjustment by hand: a carry-forward for the seller's next payout, another to be collected.
create function payouts.apply_adjustment(number text, its_seller text, its_currency text, actor text)
returns void language plpgsql as $$
declare
    adjustment payouts.adjustments;
begin
    adjustment := payouts.lock_adjustment(number);
    if adjustment.seller_id <> its_seller or adjustment.currency <> its_currency then
        raise exception '% is of seller % in %: it cannot be applied to seller % in %',
            number, adjustment.seller_id, adjustment.currency, its_seller, its_currency
            using errcode = 'WC003';
    end if;
    if adjustment.status <> 'proposed' then
        raise exception '% is % already', number, adjustment.status using errcode = 'WC003';
    end if;
    if adjustment.mode = 'exception' then
        raise exception '% enters only by an approved exception: weekclose exception list', number
            using errcode = 'WC003';
    end if;
    if adjustment.class not like 'carry_forward%' and adjustment.proposed_by = actor then
        raise exception '% proposed %, which no payout''s review will show: another person has to apply it',
            actor, number
            using errcode = 'WC003';
    end if;
    if adjustment.source = 'dispute' and not exists (
        select from payouts.account_balances
        where
            (account, seller_id, currency) = ('seller_payable', adjustment.seller_id, adjustment.currency)
            and balance < 0
    ) then
        raise exception '%: later earnings have settled the debt; weekclose adjust cancel', number
            using errcode = 'WC003';
    end if;
    update payouts.adjustments
    set
        status = case when class like 'carry_forward%' then 'approved' else 'applied' end,
        approved_by = actor,
        approved_at = clock_timestamp()
    where adjustment_number = number;
    perform payouts.audit(
        actor, 'adjust apply', 'adjustment:' || number, jsonb_build_object('status', 'proposed'),
        jsonb_build_object('status', status)
    )
    from payouts.adjustments
    where adjustment_number = number;
    perform payouts.book_obligation(number, 'recognize');
end
$$;

-- Ask for something else than the policy does. Another person decides.
create function payouts.deviate(
    number text, wished text, other_amount numeric, other_window date, other_seller text, why text, actor text
) returns bigint language plpgsql as $$
declare
    adjustment payouts.adjustments;
    is_line boolean;
begin
    -- Its row is locked after the batches and payouts that the exception blocks.
    lock table payouts.turns in row exclusive mode;
    select * into adjustment from payouts.adjustments where adjustment_number = number;
    if not found then
        raise exception 'there is no adjustment %', number using errcode = 'WC005';
    end if;
    is_line := adjustment.class like 'carry_forward%';
    if adjustment.status in ('settled', 'cancelled') or (is_line and adjustment.status = 'applied') then
        raise exception '% is % already: nothing can deviate from that', number, adjustment.status
            using errcode = 'WC003';
    end if;
    if payouts.is_open_exception(number) then
        raise exception '% has an open exception: it is decided first', number using errcode = 'WC003';
    end if;
    if wished = 'apply' and adjustment.mode <> 'exception' then
        raise exception 'the policy of % is %: it needs no exception', number, adjustment.mode
            using errcode = 'WC003';
    end if;
    if wished = 'apply' and adjustment.status <> 'proposed' then
        raise exception '% is % already', number, adjustment.status using errcode = 'WC003';
    end if;
    if wished in ('defer', 'out_of_scope') and not is_line then
        raise exception '% is a %: it enters no payout', number, adjustment.class using errcode = 'WC003';
    end if;
    if wished = 'amount' and (other_amount <= 0 or other_amount >= adjustment.applied_amount) then
        raise exception '% is of % %: a deviating amount lies below that', number, adjustment.applied_amount,
            adjustment.currency
            using errcode = 'WC003';
    end if;
    if wished = 'out_of_scope' and not exists (
        select from staging.stg_sellers where seller_id = other_seller and seller_id <> adjustment.applied_to
    ) then
        raise exception 'there is no other seller %', other_seller using errcode = 'WC003';
    end if;
    return payouts.open_exception(number, wished, other_amount, other_window, other_seller, why, actor);
end
$$;

create function payouts.decide_exception(decided bigint, verdict text, why text, actor text)
returns void language plpgsql as $$
declare
    wish payouts.exceptions;
    adjustment payouts.adjustments;
    is_approval boolean;
    is_recognized boolean;
begin
    lock table payouts.turns in row exclusive mode;
    select * into wish from payouts.exceptions where exception_id = decided for update;
    if not found or wish.decision is not null then
        raise exception 'there is no open exception %', decided using errcode = 'WC005';
    end if;
    if wish.requested_by = actor then
        raise exception '% asked for exception %: another person has to decide', actor, decided
            using errcode = 'WC003';
    end if;
    update payouts.exceptions
    set decision = verdict, decision_note = why, decided_by = actor, decided_at = clock_timestamp()
    where exception_id = decided;
    select * into adjustment from payouts.adjustments where adjustment_number = wish.adjustment_number;
    perform payouts.mark_exceptions(sellers.seller_id, adjustment.currency)
    from (
        values (adjustment.seller_id), (adjustment.applied_to), (wish.to_seller)
    ) as sellers (seller_id)
    where sellers.seller_id is not null
    group by sellers.seller_id
    order by sellers.seller_id collate "C";
    adjustment := payouts.lock_adjustment(wish.adjustment_number);
    is_recognized := payouts.owed(adjustment) <> 0;
    is_approval := adjustment.mode = 'exception' and adjustment.status = 'proposed' and wish.deviation <> 'skip';
    if verdict = 'approved' then
        update payouts.adjustments
        set
            status = case
                when wish.deviation = 'skip' then 'cancelled'
                when not is_approval then status
                when class like 'carry_forward%' then 'approved'
                else 'applied'
            end,
            applied_amount = coalesce(wish.to_amount, applied_amount),
            applied_to = coalesce(wish.to_seller, applied_to),
            not_before = coalesce(wish.to_window, not_before),
            approved_by = case when is_approval then actor else approved_by end,
            approved_at = case when is_approval then clock_timestamp() else approved_at end
        where adjustment_number = wish.adjustment_number;
    end if;
    perform payouts.audit(
        actor, 'exception ' || case verdict when 'approved' then 'approve' else 'reject' end,
        'adjustment:' || wish.adjustment_number, to_jsonb(adjustment),
        (select to_jsonb(adjustments) from payouts.adjustments where adjustment_number = wish.adjustment_number)
        || jsonb_build_object('exception', decided),
        why
    );
    perform payouts.book_obligation(
        wish.adjustment_number, case when is_recognized then 'forgive' else 'recognize' end
    );
end
$$;

-- Decide, all or none, with one code of the second factor.
create function payouts.decide_exceptions(decided bigint [], verdict text, why text, actor text)
returns void language plpgsql as $$
declare
    each bigint;
begin
    foreach each in array decided loop
        perform payouts.decide_exception(each, verdict, why, actor);
    end loop;
    if verdict = 'approved' then
        perform payouts.require_second_factor(actor);
    end if;
end
$$;

-- Take back what nobody has acted on. What follows from something that happened is dropped by an exception.
create function payouts.cancel_adjustment(number text, why text, actor text) returns void language plpgsql as $$
declare
    adjustment payouts.adjustments;
begin
    adjustment := payouts.lock_adjustment(number);
    if adjustment.status not in ('proposed', 'approved') then
        raise exception '% is % already', number, adjustment.status using errcode = 'WC003';
    end if;
    if adjustment.source in ('mismatch', 'reversal') then
        raise exception '% follows from the % of %: only an exception can drop it (adjust apply --skip)',
            number, adjustment.source, adjustment.source_id
            using errcode = 'WC003';
    end if;
    update payouts.adjustments set status = 'cancelled' where adjustment_number = number;
    perform payouts.audit(
        actor, 'adjust cancel', 'adjustment:' || number, jsonb_build_object('status', adjustment.status),
        jsonb_build_object('status', 'cancelled'), why
    );
    perform payouts.book_obligation(number, 'forgive');
end
$$;

-- The money of a receivable has come: a ledger entry, no line.
create function payouts.settle_adjustment(number text, reference text, proof text, actor text)
returns void language plpgsql as $$
declare
    adjustment payouts.adjustments;
    booked bigint;
begin
    adjustment := payouts.lock_adjustment(number);
    if adjustment.class like 'carry_forward%' then
        raise exception '% enters the seller''s payouts: those settle it', number using errcode = 'WC003';
    end if;
    if adjustment.status <> 'applied' then
        raise exception '% is %: it has to be applied first, and is settled once', number, adjustment.status
            using errcode = 'WC003';
    end if;
    if adjustment.class = 'manual_cash_recovery' and proof is null then
        raise exception '% needs a document that shows the money: give it with --file', number
            using errcode = 'WC003';
    end if;
    update payouts.adjustments
    set
        status = 'settled',
        money_reference = settle_adjustment.reference,
        money_document = proof,
        settled_at = clock_timestamp()
    where adjustment_number = number;
    perform payouts.audit(
        actor, 'adjust settle', 'adjustment:' || number, jsonb_build_object('status', 'applied'),
        jsonb_build_object('status', 'settled', 'reference', settle_adjustment.reference, 'document', proof)
    );
    if adjustment.source <> 'dispute' then
        perform payouts.book_obligation(number, 'recover', 'cash_recovered');
        return;
    end if;
    -- The debt is in the balance: so is what came for it.
    insert into payouts.ledger_transactions (kind, reference)
    values ('recover', number)
    returning transaction_id into booked;
    insert into payouts.ledger_entries (
        transaction_id, account, seller_id, currency, amount, adjustment_number
    )
    select booked, side.account, adjustment.seller_id, adjustment.currency, side.amount, number
    from (
        values ('cash_recovered', -adjustment.applied_amount), ('seller_payable', adjustment.applied_amount)
    ) as side (account, amount)
    order by side.account;
end
$$;

-- What a freeze does with the lines of its window: they are applied, and what the seller's balance covers of
-- his open debts is settled, oldest first.
create function payouts.apply_lines(due_window date, actor text) returns void language plpgsql as $$
declare
    applied text [];
begin
    with changed as (
        update payouts.adjustments
        set status = 'applied', payout_window = due_window
        from payouts.frozen_lines as lines
        where
            lines.payout_window = due_window
            and lines.kind = 'adjustment'
            and adjustments.adjustment_number = lines.source_id
        returning adjustments.adjustment_number
    )

    select array_agg(adjustment_number order by adjustment_number collate "C") into applied from changed;

    with

    debts as (
        select
            adjustments.adjustment_number,
            adjustments.applied_to as seller_id,
            adjustments.currency,
            adjustments.direction,
            adjustments.applied_amount - coalesce(sum(allocations.amount), 0) as unsettled
        from payouts.adjustments
        left join payouts.adjustment_allocations as allocations
            on adjustments.adjustment_number = allocations.adjustment_number
        where adjustments.status = 'applied' and adjustments.payout_window is not null
        group by adjustments.adjustment_number
    ),

    queued as (
        select
            debts.*,
            sum(debts.unsettled) over (partition by debts.seller_id, debts.currency) as total,
            sum(debts.unsettled) over (
                partition by debts.seller_id, debts.currency
                order by debts.adjustment_number collate "C"
                rows unbounded preceding
            ) - debts.unsettled as older,
            greatest(0, -coalesce(frozen.payable + frozen.carry_out, accounts.balance, 0)) as below_zero
        from debts
        -- Without a row of this window nothing has moved in it.
        left join payouts.account_balances as accounts
            on
                accounts.account = 'seller_payable'
                and debts.seller_id = accounts.seller_id
                and debts.currency = accounts.currency
        left join payouts.frozen_rows as frozen
            on
                frozen.payout_window = due_window
                and debts.seller_id = frozen.seller_id
                and debts.currency = frozen.currency
        where debts.direction = 'debit'
    ),

    covered as (
        select
            adjustment_number,
            least(unsettled, greatest(0, total - below_zero - older)) as amount
        from queued
        union all
        select adjustment_number, unsettled from debts where direction = 'credit'
    )

    insert into payouts.adjustment_allocations (adjustment_number, payout_window, amount)
    select adjustment_number, due_window, amount
    from covered
    where amount > 0;

    update payouts.adjustments
    set status = 'settled', settled_at = clock_timestamp()
    where
        status = 'applied'
        and payout_window is not null
        and applied_amount = (
            select sum(amount) from payouts.adjustment_allocations as allocations
            where allocations.adjustment_number = adjustments.adjustment_number
        );
    if applied is not null then
        perform payouts.audit(
            actor, 'adjust freeze', 'window:' || to_char(due_window, 'YYYY-MM-DD'), null,
            jsonb_build_object('adjustments', applied)
        );
    end if;
end
$$;

-- As it was, with the lines of adjustments.
create or replace function payouts.freeze_content(due_window date) returns void language plpgsql as $$
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

-- As it was, but what adjusts a balance comes from the seller's obligations.
create or replace function payouts.book_freeze(booked_window date) returns void language plpgsql as $$
begin
    -- Every seller with a frozen row has an account, even if nothing ever moved on it.
    insert into payouts.account_balances (account, seller_id, currency, balance)
    select 'seller_payable', seller_id, currency, 0
    from payouts.frozen_rows
    where payout_window = booked_window
    on conflict (account, seller_id, currency) do nothing;

    with

    cash as (
        select seller_id, currency, gross - refunds - disputes as cleared, fees, adjustments
        from payouts.frozen_rows
        where payout_window = booked_window
    ),

    entries as (
        select
            cash.seller_id, cash.currency, movement.account, movement.amount, cast(null as text) as adjustment_number
        from cash
        cross join lateral (
            values
            ('seller_payable', cash.cleared - cash.fees + cash.adjustments),
            ('platform_fees', cash.fees),
            ('sales_clearing', -cash.cleared)
        ) as movement (account, amount)
        where movement.amount <> 0
        union all
        -- What was an obligation is in the balance now.
        select
            adjustments.seller_id, adjustments.currency, 'seller_obligations', -lines.adjustments,
            adjustments.adjustment_number
        from payouts.frozen_lines as lines
        inner join payouts.adjustments on lines.source_id = adjustments.adjustment_number
        where lines.payout_window = booked_window and lines.kind = 'adjustment'
        union all
        -- What enters another seller's balance leaves each of the two with accounts that sum to zero.
        select side.seller_id, lines.currency, 'sales_clearing', side.amount, adjustments.adjustment_number
        from payouts.frozen_lines as lines
        inner join payouts.adjustments on lines.source_id = adjustments.adjustment_number
        cross join lateral (
            values (adjustments.seller_id, lines.adjustments), (lines.seller_id, -lines.adjustments)
        ) as side (seller_id, amount)
        where
            lines.payout_window = booked_window
            and lines.kind = 'adjustment'
            and lines.seller_id <> adjustments.seller_id
    ),

    booked as (
        insert into payouts.ledger_transactions (kind, reference)
        select 'freeze', to_char(booked_window, 'YYYY-MM-DD')
        where exists (select from entries)
        returning transaction_id
    )

    insert into payouts.ledger_entries (
        transaction_id, account, seller_id, currency, amount, adjustment_number
    )
    select
        booked.transaction_id, entries.account, entries.seller_id, entries.currency, entries.amount,
        entries.adjustment_number
    from entries
    cross join booked
    order by entries.seller_id collate "C", entries.currency collate "C", entries.account collate "C";
end
$$;

-- As it was, and what the lines adjust is applied before the window's digest is taken.
create or replace function payouts.freeze(run uuid, spoken_for timestamptz, used jsonb, actor text)
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
        perform payouts.apply_lines(due.payout_window, actor);
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

-- As it was, and for who proposed or selected what the window pays; and not while an exception is open.
create or replace function payouts.check_approval() returns trigger language plpgsql as $$
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
        where payouts.payout_window = new.payout_window and lines.kind = 'adjustment'
    ) as deeds
    where deeds.actor = new.approved_by
    limit 1;
    if found then
        raise exception '% % in window %: another person has to approve it', new.approved_by, deed, new.payout_window
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
        and payouts.payout_window = new.payout_window
        and payouts.status = 'ready'
    limit 1;
    if found then
        raise exception 'an exception of seller % is open: weekclose exception list, then approve or reject it', deed
            using errcode = 'WC003';
    end if;
    if new.content_digest <> payouts.batch_digest(new.payout_window) then
        raise exception 'batch % is not what its digest says', new.batch_id using errcode = 'WC003';
    end if;
    return new;
end
$$;

do $$
declare
    door text;
begin
    foreach door in array array[
        -- Not called, but fired late: when the caller commits, as whoever that is.
        'refuse_unbooked_adjustment',
        'freeze', 'store_document', 'propose_adjustment', 'propose_from', 'apply_adjustment', 'deviate',
        'decide_exceptions', 'cancel_adjustment', 'settle_adjustment'
    ] loop
        execute format('alter function payouts.%I security definer set search_path = pg_catalog, pg_temp', door);
    end loop;
end
$$;

grant execute on function
payouts.propose_adjustment, payouts.propose_from, payouts.apply_adjustment, payouts.deviate,
payouts.cancel_adjustment, payouts.settle_adjustment
to weekclose_operator;
grant execute on function payouts.store_document to weekclose_operator, weekclose_reconciler;
grant execute on function payouts.decide_exceptions to weekclose_approver;
