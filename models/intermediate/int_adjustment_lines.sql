-- depends_on: {{ ref('int_builds') }}, {{ ref('int_line_changes') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_all',
        full_refresh=false,
        pre_hook='{{ keep_lines_before(changeable_adjustment_lines(this)) }}',
        post_hook=[
            'analyze {{ this }}',
            '{{ log_line_changes(changeable_adjustment_lines(this)) }}',
        ],
    )
}}

-- Whatever instant a run speaks for: what is approved by the time of the build enters the next freeze, whole.
with

open_exceptions as (select * from {{ source('payouts', 'exceptions') }} where decision is null),

next_freeze as (
    select {{ first_unfrozen_window() }} as payout_window
)

select
    'adjustment:' || adjustments.adjustment_number as line_id,
    adjustments.adjustment_number,
    adjustments.applied_to as seller_id,
    adjustments.currency,
    adjustments.approved_at as event_at,
    next_freeze.payout_window,
    {{ money("case adjustments.direction when 'credit' then 1 else -1 end * adjustments.applied_amount") }}
        as adjustments
from {{ source('payouts', 'adjustments') }} as adjustments
inner join next_freeze
    on
        next_freeze.payout_window < cast('infinity' as date)
        and coalesce(adjustments.not_before <= next_freeze.payout_window, true)
left join open_exceptions on adjustments.adjustment_number = open_exceptions.adjustment_number
where
    adjustments.status = 'approved'
    and adjustments.class like 'carry_forward%'
    and open_exceptions.exception_id is null
