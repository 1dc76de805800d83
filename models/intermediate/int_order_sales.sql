{{
    config(
        materialized='incremental',
        incremental_strategy='replace_all',
        full_refresh=false,
        post_hook='analyze {{ this }}',
    )
}}

-- What the events of a touched order stand on: its sale as frozen, else as the raw order says, else why
-- there is none.
with

touched as (select * from {{ ref('int_touched_orders') }}),

sellers as (select * from {{ ref('stg_sellers') }}),

judged as (
    select
        touched.order_id,
        orders.seller_id,
        orders.currency,
        orders.captured_at,
        orders.order_window,
        orders.gross_amount,
        orders.fee_amount,
        orders.loaded_at,
        case
            when orders.order_id is null then 'unknown_order'
            when orders.status = 'pending' then 'order_pending'
            when orders.status = 'cancelled' then 'order_cancelled'
            when orders.captured_at is null then 'order_not_captured'
            when orders.seller_id is null then 'order_without_seller'
            when sellers.seller_id is null then 'order_of_unknown_seller'
        end as reason
    from touched
    {{ looked_up('left', ref('stg_orders'), 'orders', 'orders.order_id = touched.order_id') }}
    left join sellers on orders.seller_id = sellers.seller_id
)

select
    judged.order_id,
    coalesce(frozen_sales.seller_id, judged.seller_id) as seller_id,
    coalesce(frozen_sales.currency, judged.currency) as currency,
    coalesce(frozen_sales.event_at, judged.captured_at) as captured_at,
    coalesce(frozen_sales.order_window, judged.order_window) as order_window,
    coalesce(frozen_sales.gross, judged.gross_amount) as gross,
    coalesce(frozen_sales.fees, judged.fee_amount) as fees,
    case when frozen_sales.line_id is null then judged.reason end as unsettled_reason,
    -- The sale's cash by today's raw row: none for this seller if it was cancelled or is now someone else's.
    {{ money('
        case
            when judged.reason is not null then 0
            when judged.seller_id != frozen_sales.seller_id or judged.currency != frozen_sales.currency then 0
            else judged.gross_amount - judged.fee_amount
        end
    ') }} as raw_amount,
    judged.loaded_at
from judged
{{ looked_up(
    'left', source('payouts', 'frozen_lines'), 'frozen_sales',
    "frozen_sales.order_id = judged.order_id and frozen_sales.kind = 'sale'"
) }}
