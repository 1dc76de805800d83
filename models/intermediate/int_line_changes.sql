-- The rows are written by int_order_events in the transaction that writes its events: this model only makes
-- the table. Thirteen frozen windows are kept.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
    )
}}

select
    cast(now() as timestamptz) as started_at,
    {{ as_of() }} as as_of,
    payout_window,
    line_id,
    seller_id,
    currency,
    order_id,
    kind,
    event_at,
    payout_window > home_window as is_late,
    {{ money(0) }} as cash_change,
    cast(0 as bigint) as line_change
from {{ source('payouts', 'frozen_lines') }}
where false
