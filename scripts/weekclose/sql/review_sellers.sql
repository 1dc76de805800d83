-- Every row of a window, with the seller's name, health and net of the window before: amounts in hundredths.
with

rows_of_window as (select * from marts.settlement_windows where payout_window = %(window)s),

before as (
    select
        seller_id,
        currency,
        net
    from marts.settlement_windows
    where payout_window = cast(%(window)s as date) - 7 and status != 'before_start'
)

select
    found.seller_id,
    coalesce(sellers.display_name, '') as name,
    sellers.region,
    found.currency,
    found.rail,
    found.status,
    cast(100 * found.gross as bigint) as gross,
    cast(100 * found.fees as bigint) as fees,
    cast(100 * found.refunds as bigint) as refunds,
    cast(100 * found.net as bigint) as net,
    cast(100 * found.disputes as bigint) as disputes,
    cast(100 * found.adjustments as bigint) as adjustments,
    cast(100 * found.carry_in as bigint) as carry_in,
    cast(100 * found.payable as bigint) as payable,
    cast(100 * found.carry_out as bigint) as carry_out,
    found.order_count as orders,
    found.late_line_count as late,
    cast(round(10 * health.health_score) as integer) as health,
    coalesce(health.review_required, false) as needs_review,
    coalesce(array_to_string(health.review_reasons, ', '), '') as review_reasons,
    array_to_string(found.block_reasons, ', ') as reasons,
    found.payout_number,
    found.failure_reason,
    cast(100 * before.net as bigint) as previous_net
from rows_of_window as found
left join staging.stg_sellers as sellers on found.seller_id = sellers.seller_id
left join marts.seller_health as health on found.seller_id = health.seller_id
left join before on found.seller_id = before.seller_id and found.currency = before.currency
order by found.seller_id collate "C", found.currency collate "C"
