-- Double entry, append-only. Amounts are signed: what the platform owes is positive, and every
-- transaction sums to zero per currency.
create table payouts.ledger_transactions (
    transaction_id bigint generated always as identity primary key,
    kind text not null,
    reference text not null,
    booked_at timestamptz not null default now(),
    booked_in xid8 not null default pg_current_xact_id(),
    constraint ledger_transactions_one_effect unique (kind, reference),
    constraint ledger_transactions_kind_is_known
    check (kind in ('freeze', 'submit', 'pay', 'fail', 'return', 'release'))
);

create table payouts.ledger_entries (
    entry_id bigint generated always as identity primary key,
    transaction_id bigint not null references payouts.ledger_transactions,
    account text not null,
    seller_id text not null,
    currency text not null,
    amount numeric(18, 2) not null,
    payout_number text references payouts.payouts,
    constraint ledger_entries_account_is_known check (
        account in ('seller_payable', 'payouts_in_transit', 'payouts_paid', 'sales_clearing', 'platform_fees')
    ),
    constraint ledger_entries_move_money check (amount <> 0)
);

create index ledger_entries_transaction on payouts.ledger_entries (transaction_id);
create index ledger_entries_seller on payouts.ledger_entries (seller_id, currency);

-- The sum of the entries per account, seller and currency, kept by the entries' own trigger: the
-- opening balance of a week without adding up the years.
create table payouts.account_balances (
    account text not null,
    seller_id text not null,
    currency text not null,
    balance numeric(18, 2) not null,
    primary key (account, seller_id, currency)
);

-- A transaction's entries arrive in one statement, in the transaction that booked it, and balance.
create function payouts.book_entries() returns trigger language plpgsql as $$
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

    select transactions.transaction_id
    into offender
    from payouts.ledger_transactions as transactions
    where
        transactions.transaction_id in (select added.transaction_id from added)
        and (
            transactions.booked_in <> pg_current_xact_id()
            or exists (
                select from payouts.ledger_entries as earlier
                where
                    earlier.transaction_id = transactions.transaction_id
                    and earlier.entry_id < (select min(added.entry_id) from added)
            )
        )
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

create trigger ledger_entries_balance after insert on payouts.ledger_entries
referencing new table as added
for each statement execute function payouts.book_entries();

create function payouts.refuse_empty_transaction() returns trigger language plpgsql as $$
begin
    if not exists (select from payouts.ledger_entries where transaction_id = new.transaction_id) then
        raise exception 'ledger transaction % (% %) has no entries', new.transaction_id, new.kind, new.reference
            using errcode = 'check_violation';
    end if;
    return null;
end
$$;

create constraint trigger ledger_transactions_have_entries after insert on payouts.ledger_transactions
deferrable initially deferred
for each row execute function payouts.refuse_empty_transaction();

create trigger ledger_transactions_never_change before update or delete or truncate on payouts.ledger_transactions
for each statement execute function payouts.refuse_change();
create trigger ledger_entries_never_change before update or delete or truncate on payouts.ledger_entries
for each statement execute function payouts.refuse_change();

-- Who did what, and why: append-only, each row sealed with the hash of the one before.
create table payouts.audit_log (
    entry_id bigint primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    entity text not null,
    before jsonb,
    after jsonb,
    reason text not null default '',
    previous_hash text not null,
    hash text not null
);

create function payouts.audit_hash(
    entry_id bigint, at timestamptz, actor text, action text, entity text, before jsonb, after jsonb,
    reason text, previous_hash text
) returns text language sql immutable
set timezone = 'UTC' as $$
    select encode(sha256(convert_to(jsonb_build_array(
        entry_id, extract(epoch from at), actor, action, entity, before, after, reason, previous_hash
    )::text, 'UTF8')), 'hex')
$$;

-- One chain needs one writer at a time: the lock is held until the caller commits.
create function payouts.audit(
    actor text, action text, entity text, before jsonb, after jsonb, reason text default ''
) returns bigint language plpgsql as $$
declare
    last_entry payouts.audit_log;
    next_id bigint;
    noted_at timestamptz := clock_timestamp();
begin
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

create trigger audit_log_never_changes before update or delete or truncate on payouts.audit_log
for each statement execute function payouts.refuse_change();
