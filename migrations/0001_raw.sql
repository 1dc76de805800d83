-- What the platform loads. One row is one version of a fact; `loaded_at` grows when a row changes.
-- The checks repeat what `weekclose load` refuses, so that another loader cannot bring in less.
create schema raw;

create table raw.sellers (
    seller_id text primary key,
    display_name text not null default '',
    seller_type text not null default 'merchant',
    region text not null,
    preferred_rail text,
    wallet_address text,
    wallet_changed_at timestamptz,
    settlement_currency text not null,
    status text not null,
    created_at timestamptz not null,
    loaded_at timestamptz not null default now(),
    constraint sellers_have_an_id check (seller_id <> ''),
    constraint sellers_status_is_known check (status in ('active', 'suspended', 'closed')),
    constraint sellers_currency_is_a_code check (settlement_currency ~ '^[A-Z][A-Z0-9]{2,9}$')
);

-- One seller's part of a checkout.
create table raw.orders (
    order_id text primary key,
    seller_id text,
    currency text not null,
    gross_amount numeric not null,
    fee_amount numeric not null,
    status text not null,
    captured_at timestamptz,
    loaded_at timestamptz not null default now(),
    constraint orders_have_an_id check (order_id <> ''),
    constraint orders_status_is_known check (status in ('pending', 'confirmed', 'fulfilled', 'cancelled')),
    constraint orders_currency_is_a_code check (currency ~ '^[A-Z][A-Z0-9]{2,9}$'),
    constraint orders_gross_is_money check (gross_amount between 0 and 999999999999.99 and scale(gross_amount) <= 2),
    constraint orders_fee_is_money check (fee_amount between 0 and 999999999999.99 and scale(fee_amount) <= 2)
);

create table raw.refunds (
    refund_id text primary key,
    order_id text not null,
    amount numeric not null,
    fee_refund_amount numeric not null default 0,
    refunded_at timestamptz not null,
    loaded_at timestamptz not null default now(),
    constraint refunds_have_ids check (refund_id <> '' and order_id <> ''),
    constraint refunds_amount_is_money check (amount between 0 and 999999999999.99 and scale(amount) <= 2),
    constraint refunds_fee_is_money
    check (fee_refund_amount between 0 and 999999999999.99 and scale(fee_refund_amount) <= 2)
);

create table raw.disputes (
    dispute_id text primary key,
    order_id text not null,
    amount numeric not null,
    reason text not null,
    status text not null,
    opened_at timestamptz not null,
    closed_at timestamptz,
    loaded_at timestamptz not null default now(),
    constraint disputes_have_ids check (dispute_id <> '' and order_id <> ''),
    constraint disputes_status_is_known check (status in ('open', 'won', 'lost', 'withdrawn')),
    constraint disputes_amount_is_money check (amount between 0 and 999999999999.99 and scale(amount) <= 2),
    constraint disputes_open_or_closed check (
        (status <> 'open' or closed_at is null)
        and (status not in ('won', 'withdrawn') or closed_at is not null)
        and (closed_at is null or closed_at >= opened_at)
    )
);

-- What a second source (the payment processor, say) says an order's gross is. Optional; a difference
-- becomes a row in marts.reconciliation_breaks.
create table raw.control_totals (
    order_id text primary key,
    amount numeric not null,
    source text not null default 'payments',
    loaded_at timestamptz not null default now(),
    constraint control_totals_have_an_id check (order_id <> ''),
    constraint control_totals_amount_is_money check (amount between 0 and 999999999999.99 and scale(amount) <= 2)
);

-- Rows that `weekclose load` refused, as they stood in the file, with the reason.
create table raw.rejected_rows (
    rejected_id bigint generated always as identity primary key,
    load_id uuid not null,
    table_name text not null,
    file_name text not null,
    line_number bigint not null,
    reason text not null,
    content text not null,
    rejected_at timestamptz not null default now()
);

-- A weekly run asks "what arrived since" and "what happened between": block ranges answer both for a
-- hundredth of a btree's cost on load. The children are looked up by their order.
create index orders_loaded_at on raw.orders using brin (loaded_at) with (pages_per_range = 32);
create index orders_captured_at on raw.orders
using brin (captured_at timestamptz_minmax_multi_ops) with (pages_per_range = 32);
create index refunds_loaded_at on raw.refunds using brin (loaded_at) with (pages_per_range = 32);
create index refunds_refunded_at on raw.refunds
using brin (refunded_at timestamptz_minmax_multi_ops) with (pages_per_range = 32);
create index refunds_order on raw.refunds (order_id);
create index disputes_loaded_at on raw.disputes using brin (loaded_at) with (pages_per_range = 32);
create index disputes_opened_at on raw.disputes
using brin (opened_at timestamptz_minmax_multi_ops) with (pages_per_range = 32);
create index disputes_closed_at on raw.disputes
using brin (closed_at timestamptz_minmax_multi_ops) with (pages_per_range = 32);
create index disputes_order on raw.disputes (order_id);
create index control_totals_loaded_at on raw.control_totals using brin (loaded_at) with (pages_per_range = 32);
