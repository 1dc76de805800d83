-- depends_on: {{ ref('int_touched_orders') }}, {{ ref('int_line_changes') }}
-- depends_on: {{ ref('int_adjustment_lines') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched_orders',
        full_refresh=false,
        indexes=[
            {'columns': ['order_id']},
            {'columns': ['payout_window']},
            {'columns': ['seller_id', 'payout_window']},
        ],
        pre_hook='{{ keep_lines_before(changeable_lines(this)) }}',
        post_hook=[
            "create index if not exists int_order_events_event_at on {{ this }}"
            " using brin (event_at timestamptz_minmax_multi_ops) with (pages_per_range = 32)",
            "create index if not exists int_order_events_unsettled on {{ this }} (unsettled_reason)"
            " where unsettled_reason is not null",
            "create index if not exists int_order_events_unsettled_since on {{ this }} (loaded_at)"
            " where unsettled_reason is not null",
            "create index if not exists int_order_events_breaks on {{ this }} (line_id) where has_break",
            "select brin_summarize_new_values('{{ this.schema }}.int_order_events_event_at'::regclass)",
            "analyze {{ this }}{% if last_build() is not none %} (payout_window, event_at){% endif %}",
            '{{ log_line_changes(changeable_lines(this)) }}',
            "insert into {{ ref('int_builds') }} (as_of, started_at, settings)"
            " values ({{ as_of() }}, '{{ run_started_at.isoformat() }}', '{{ build_settings() }}')",
        ],
    )
}}

-- Every build ends with an analyze: a window that the statistics have never seen counts as one row, and is
-- then joined row by row.
with

lines as (select * from {{ ref('int_order_lines') }}),

events as (
    select
        lines.*,
        -- A run for an earlier night does not know the raw row of what was frozen since: no difference.
        case
            when is_frozen and event_at <= {{ as_of() }} and (source_amount is distinct from raw_amount)
                then coalesce(raw_amount, 0)
        end as restated_amount,
        case when control_amount != coalesce(order_gross, 0) then control_amount end as other_amount,
        case when kind = 'refund' and order_refunded > order_gross then order_refunded end as refunded_amount
    from lines
)

select
    line_id,
    order_id,
    kind,
    source_id,
    seller_id,
    currency,
    event_at,
    order_window,
    home_window,
    payout_window,
    {{ money('gross') }} as gross,
    {{ money('fees') }} as fees,
    {{ money('refunds') }} as refunds,
    {{ money('disputes') }} as disputes,
    {{ money('source_amount') }} as source_amount,
    {{ money('clawed_back') }} as clawed_back,
    unsettled_reason,
    {{ money('restated_amount') }} as restated_amount,
    {{ money('other_amount') }} as control_amount,
    {{ money('refunded_amount') }} as order_refunded,
    {{ money('order_gross') }} as order_gross,
    coalesce(restated_amount, other_amount, refunded_amount) is not null as has_break,
    loaded_at
from events
{% if last_build() is none %}
-- Week by week, as they would have come: block ranges tell the weeks apart, and within one what lies beside
-- each other in an index is written one after the other.
order by {{ payout_window_of(local_date('event_at')) }}, order_id
{% endif %}
