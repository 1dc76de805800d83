with

windows as (select * from {{ ref('settlement_windows') }})

select
    payout_window,
    currency,
    rail,
    status,
    count(*) as seller_count,
    cast(sum(order_count) as bigint) as order_count,
    {{ money('sum(gross)') }} as gross,
    {{ money('sum(fees)') }} as fees,
    {{ money('sum(refunds)') }} as refunds,
    {{ money('sum(net)') }} as net,
    {{ money('sum(disputes)') }} as disputes,
    {{ money('sum(adjustments)') }} as adjustments,
    {{ money('sum(carry_in)') }} as carry_in,
    {{ money('sum(payable)') }} as payable,
    {{ money('sum(carry_out)') }} as carry_out
from windows
group by payout_window, currency, rail, status
