{{ config(materialized='incremental', incremental_strategy='replace_all', full_refresh=false) }}

with

activity as (select * from {{ ref('int_seller_activity') }}),

measured as (
    select
        activity.*,
        cast(disputes_count + {{ health('prior_disputes') }} as numeric)
        / (orders_count + {{ health('prior_orders') }}) as dispute_rate,
        (disputed + {{ health('prior_disputed_amount') }})
        / (gross + {{ health('prior_gross') }}) as disputed_value,
        (refunds + {{ health('prior_refunded_amount') }})
        / (gross + {{ health('prior_gross') }}) as refund_value,
        greatest(
            (disputes_count - disputes_7d) * 7.0 / 23,
            orders_7d * {{ health('expected_dispute_rate') }},
            {{ health('least_expected_disputes') }}
        ) as expected_disputes,
        case
            when orders_7d >= {{ health('least_weekly_orders') }}
                then gross_7d / greatest((gross - gross_7d) * 7.0 / 23, {{ health('least_weekly_gross') }})
            else 0
        end as volume_growth
    from activity
),

spiking as (
    select
        measured.*,
        (disputes_7d - expected_disputes) / sqrt(expected_disputes) as dispute_spike
    from measured
),

scored as (
    select
        spiking.*,
        round(100 * (
            1
            - {{ health('weight_dispute_rate') }} * {{ risk('dispute_rate', 'dispute_rate') }}
            - {{ health('weight_disputed_value') }} * {{ risk('disputed_value', 'disputed_value') }}
            - {{ health('weight_refund_value') }} * {{ risk('refund_value', 'refund_value') }}
            - {{ health('weight_dispute_spike') }} * {{ risk('dispute_spike', 'dispute_spike') }}
            - {{ health('weight_volume_growth') }} * {{ risk('volume_growth', 'volume_growth') }}
        ), 1) as health_score
    from spiking
),

reviewed as (
    select
        scored.*,
        array_remove(array[
            case when health_score < {{ health('review_score_below') }} then 'low_score' end,
            case
                when
                    disputes_7d >= {{ health('review_spike_disputes') }}
                    and dispute_spike >= {{ health('review_spike_z') }}
                    then 'dispute_spike'
            end,
            case when volume_growth >= {{ health('review_growth') }} then 'volume_spike' end,
            case when orders_count = 0 and disputes_count > 0 then 'disputes_without_sales' end
        ], null) as review_reasons
    from scored
)

select
    seller_id,
    gross as trailing_30d_gross,
    fees as trailing_30d_fees,
    disputed as trailing_30d_disputes,
    cast(health_score as numeric(4, 1)) as health_score,
    orders_count,
    disputes_count,
    orders_7d,
    disputes_7d,
    gross_7d,
    refunds as trailing_30d_refunds,
    currencies,
    cast(dispute_rate as numeric(12, 6)) as dispute_rate,
    {{ rate('disputed_value') }} as disputed_value_rate,
    {{ rate('refund_value') }} as refund_value_rate,
    cast(dispute_spike as numeric(12, 4)) as dispute_spike_z,
    cast(volume_growth as numeric(18, 4)) as volume_growth,
    cardinality(review_reasons) > 0 as review_required,
    review_reasons,
    {{ as_of() }} as as_of
from reviewed
