-- What a freeze commits the platform to. Written by `weekclose` alone; dbt reads it and never owns it.
create schema payouts;

-- One row per Sunday run.
create table payouts.warehouse_runs (
    run_id uuid primary key,
    as_of timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    actor text not null,
    outcome text not null,
    message text not null default '',
    settings jsonb not null,
    results jsonb not null default '{}',
    constraint warehouse_runs_outcome_is_known
    check (outcome in ('running', 'frozen', 'nothing_to_freeze', 'not_frozen', 'refused', 'failed')),
    constraint warehouse_runs_end check ((outcome = 'running') = (finished_at is null))
);

create index warehouse_runs_latest on payouts.warehouse_runs (started_at desc);

-- One row per frozen settlement window. It is written last: its digest covers what was frozen with it.
create table payouts.frozen_windows (
    payout_window date primary key,
    window_ends_at timestamptz not null,
    reserve_closes_at timestamptz not null,
    as_of timestamptz not null,
    run_id uuid not null references payouts.warehouse_runs,
    settings jsonb not null,
    content_digest text not null,
    row_count bigint not null,
    line_count bigint not null,
    frozen_by text not null,
    frozen_at timestamptz not null default now(),
    constraint frozen_windows_do_not_overlap
    exclude using gist (daterange(payout_window, payout_window + 7) with &&),
    constraint frozen_windows_are_due check (reserve_closes_at <= as_of),
    constraint frozen_windows_digest_is_sha256 check (content_digest ~ '^[0-9a-f]{64}$')
);

-- One row per seller, frozen window and currency, as finance reviewed it.
create table payouts.frozen_rows (
    payout_window date not null references payouts.frozen_windows deferrable initially deferred,
    seller_id text not null,
    currency text not null,
    gross numeric(18, 2) not null,
    fees numeric(18, 2) not null,
    refunds numeric(18, 2) not null,
    net numeric(18, 2) not null,
    disputes numeric(18, 2) not null,
    adjustments numeric(18, 2) not null,
    carry_in numeric(18, 2) not null,
    payable numeric(18, 2) not null,
    carry_out numeric(18, 2) not null,
    rail text,
    status text not null,
    block_reasons text [] not null,
    order_count bigint not null,
    late_line_count bigint not null,
    primary key (payout_window, seller_id, currency),
    constraint frozen_rows_net check (net = gross - fees - refunds),
    constraint frozen_rows_roll check (net - disputes + adjustments + carry_in = payable + carry_out),
    constraint frozen_rows_payable_not_negative check (payable >= 0),
    constraint frozen_rows_status check (
        (status = 'carried_forward' and payable = 0)
        or (status = 'ready' and payable > 0 and cardinality(block_reasons) = 0)
        or (status = 'blocked' and payable > 0 and cardinality(block_reasons) > 0)
    )
);

create index frozen_rows_seller on payouts.frozen_rows (seller_id, currency, payout_window);

-- One row per frozen settlement line. `source_amount` is the raw row's own signed cash (a dispute's whole
-- claim, not what of it could be clawed back): what a later version of the raw row is compared with.
create table payouts.frozen_lines (
    line_id text primary key,
    payout_window date not null,
    seller_id text not null,
    currency text not null,
    order_id text not null,
    kind text not null,
    source_id text not null,
    event_at timestamptz not null,
    order_window date not null,
    home_window date not null,
    gross numeric(18, 2) not null,
    fees numeric(18, 2) not null,
    refunds numeric(18, 2) not null,
    disputes numeric(18, 2) not null,
    adjustments numeric(18, 2) not null,
    source_amount numeric(18, 2) not null,
    constraint frozen_lines_kind_is_known check (kind in ('sale', 'refund', 'dispute_opened', 'dispute_closed')),
    constraint frozen_lines_id_names_its_row check (line_id = kind || ':' || source_id),
    constraint frozen_lines_not_before_home check (payout_window >= home_window and home_window >= order_window)
);

create index frozen_lines_row on payouts.frozen_lines (payout_window, seller_id, currency);
create index frozen_lines_order on payouts.frozen_lines (order_id);

create sequence payouts.payout_number_seq;

-- One row per payable frozen row: the obligation, from ready or blocked to its end.
create table payouts.payouts (
    payout_number text primary key
    default 'JPO' || lpad(nextval('payouts.payout_number_seq')::text, 7, '0'),
    payout_window date not null,
    seller_id text not null,
    currency text not null,
    amount numeric(18, 2) not null,
    rail text,
    destination text,
    status text not null,
    block_reasons text [] not null default '{}',
    failure_code text,
    failure_reason text,
    external_reference text,
    created_at timestamptz not null default now(),
    status_changed_at timestamptz not null default now(),
    constraint payouts_one_per_row unique (payout_window, seller_id, currency),
    constraint payouts_belong_to_a_row foreign key (payout_window, seller_id, currency)
    references payouts.frozen_rows,
    constraint payouts_amount_is_positive check (amount > 0),
    constraint payouts_status_is_known check (
        status in ('ready', 'blocked', 'submitted', 'paid', 'failed', 'returned', 'awaiting_reconciliation')
    ),
    constraint payouts_blocked_says_why check ((status = 'blocked') = (cardinality(block_reasons) > 0)),
    constraint payouts_know_their_destination
    check (status = 'blocked' or (rail is not null and destination is not null))
);

alter sequence payouts.payout_number_seq owned by payouts.payouts.payout_number;
create index payouts_seller on payouts.payouts (seller_id, currency, payout_window);
create index payouts_ready on payouts.payouts (seller_id, currency) where status = 'ready';

-- One row per payout and window whose lines it pays: its own, and those whose money rolled into it.
create table payouts.payout_coverage (
    payout_number text not null references payouts.payouts,
    payout_window date not null references payouts.frozen_windows deferrable initially deferred,
    primary key (payout_number, payout_window)
);

-- One row per attempt to hand a window to the rail.
create table payouts.batches (
    batch_id text primary key,
    payout_window date not null references payouts.frozen_windows,
    generation integer not null default 1,
    state text not null default 'frozen',
    content_digest text not null,
    idempotency_key text,
    approved_by text,
    rail_batch_id text,
    created_at timestamptz not null default now(),
    constraint batches_generation unique (payout_window, generation),
    constraint batches_generation_is_positive check (generation > 0),
    constraint batches_state_is_known
    check (state in ('frozen', 'approved', 'submitting', 'submitted', 'settled', 'rejected'))
);

create unique index batches_one_live on payouts.batches (payout_window) where state <> 'rejected';

-- Monday's decisions that the model reads: a person's hold on a row, a person's clearance of a review.
create table payouts.holds (
    hold_id bigint generated always as identity primary key,
    seller_id text not null,
    payout_window date not null,
    reason text not null,
    held_by text not null,
    held_at timestamptz not null default now(),
    released_by text,
    released_at timestamptz,
    constraint holds_say_why check (reason <> ''),
    constraint holds_release check ((released_by is null) = (released_at is null))
);

create unique index holds_one_live on payouts.holds (seller_id, payout_window) where released_at is null;

create table payouts.clearances (
    clearance_id bigint generated always as identity primary key,
    seller_id text not null,
    reason text not null,
    cleared_by text not null,
    cleared_at timestamptz not null default now(),
    constraint clearances_say_why check (reason <> '')
);

create index clearances_seller on payouts.clearances (seller_id, cleared_at);

-- The sha256 of everything a freeze commits to. A function of the frozen content alone: not of time,
-- of a session's settings, or of the order in which rows were written.
create function payouts.window_digest(digested_window date) returns text language sql stable
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
            )::text as content
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

-- One row per wallet address whose checksum was judged: the rails it is no valid destination for.
create table payouts.judged_wallets (
    wallet_address text primary key,
    bad_rails text [] not null,
    judged_at timestamptz not null default now()
);

-- What is frozen stays: the database refuses, whoever asks.
create function payouts.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% of payouts.% is refused: its rows never change', lower(tg_op), tg_table_name
        using errcode = 'restrict_violation';
end
$$;

create trigger frozen_windows_never_change before update or delete or truncate on payouts.frozen_windows
for each statement execute function payouts.refuse_change();
create trigger frozen_rows_never_change before update or delete or truncate on payouts.frozen_rows
for each statement execute function payouts.refuse_change();
create trigger frozen_lines_never_change before update or delete or truncate on payouts.frozen_lines
for each statement execute function payouts.refuse_change();
create trigger payout_coverage_never_changes before update or delete or truncate on payouts.payout_coverage
for each statement execute function payouts.refuse_change();
