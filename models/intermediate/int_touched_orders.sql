-- depends_on: {{ ref('int_builds') }}, {{ ref('stg_control_totals') }}, {{ ref('stg_sellers') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_all',
        full_refresh=false,
        post_hook='analyze {{ this }}',
    )
}}

{#- Each view is named where it is read: a CTE read twice would be materialized, all of its history. #}
{%- set previous = last_build() %}

with

{% if previous is none %}

touched as (
    select order_id from {{ ref('stg_orders') }}
    union
    select order_id from {{ ref('stg_refunds') }}
    union
    select order_id from {{ ref('stg_disputes') }}
    union
    select order_id from {{ source('payouts', 'frozen_lines') }} where order_id is not null
)

{% else %}

-- A load that began before the last build may have committed after it, with the load's own time on its
-- rows: so the search begins a day earlier, and drops what the last build has seen in this version.
arrived as (
    select
        'sale:' || order_id as line_id,
        order_id,
        captured_at as event_at,
        loaded_at
    from {{ source('raw', 'orders') }}
    union all
    select
        'refund:' || refund_id as line_id,
        order_id,
        refunded_at as event_at,
        loaded_at
    from {{ source('raw', 'refunds') }}
    union all
    select
        'dispute_opened:' || dispute_id as line_id,
        order_id,
        opened_at as event_at,
        loaded_at
    from {{ source('raw', 'disputes') }}
),

compared as (
    select
        arrived.order_id,
        seen.order_id as seen_order_id
    from arrived
    {{ looked_up('left', built_relation('int_order_events'), 'seen', 'seen.line_id = arrived.line_id') }}
    where
        arrived.loaded_at >= cast('{{ previous.started_at }}' as timestamptz) - interval '24 hours'
        and case
            when seen.line_id is null then coalesce(arrived.event_at <= {{ as_of() }}, true)
            else arrived.loaded_at > seen.loaded_at or seen.loaded_at is null
        end
),

-- A row that was corrected to belong to another order leaves the one it was seen with.
unseen as (
    select order_id from compared
    union all
    select seen_order_id from compared
    where seen_order_id is not null
    union all
    select order_id from {{ ref('stg_control_totals') }}
    where loaded_at >= cast('{{ previous.started_at }}' as timestamptz) - interval '24 hours'
),

-- By the raw rows' own time, which block ranges tell apart.
closed as (
    select
        dispute_id,
        order_id
    from {{ source('raw', 'disputes') }}
    where
        closed_at > cast('{{ previous.as_of }}' as timestamptz)
        and closed_at <= {{ as_of() }}
        and opened_at <= {{ as_of() }}
),

happened as (
    select order_id from {{ ref('stg_orders') }}
    where captured_at > cast('{{ previous.as_of }}' as timestamptz)
    union all
    select order_id from {{ ref('stg_refunds') }}
    where refunded_at > cast('{{ previous.as_of }}' as timestamptz)
    union all
    select order_id from {{ ref('stg_disputes') }}
    where opened_at > cast('{{ previous.as_of }}' as timestamptz)
    union all
    select order_id from closed
),

-- A claim that was frozen with another order than its raw row names now is released there.
released as (
    select events.order_id
    from closed
    {{ looked_up(
        'inner', built_relation('int_order_events'), 'events',
        "events.line_id = 'dispute_opened:' || closed.dispute_id"
    ) }}
    where closed.order_id != events.order_id
),

bound as (
    select events.order_id
    from {{ built_relation('int_order_events') }} as events
    inner join {{ ref('stg_sellers') }} as sellers on events.seller_id = sellers.seller_id
    where events.unsettled_reason = 'order_of_unknown_seller'
),

touched as (
    select order_id from unseen
    union
    select order_id from happened
    union
    select order_id from released
    union
    select order_id from bound
)

{% endif %}

select order_id
from touched
-- In order, what is looked up next lies beside what was looked up before.
order by order_id
