-- What the windows came to, per currency, up to 26 of them: amounts in hundredths.
-- Reserve held is the cash of the later windows that had ended when this one's reserve closed.
with

totals as (
    select
        windows.payout_window,
        sums.*
    from (
        select cast(generate_series(
            cast(%(window)s as date) - 25 * 7,
            cast(%(window)s as date) + greatest(cast(%(reserve_days)s as integer), 7),
            interval '7 days'
        ) as date) as payout_window
    ) as windows
    -- One by one, so that each is read by its key, as are the payouts beside it: not those of all years.
    cross join lateral (
        select
            rows_of_window.currency,
            count(*) as sellers,
            sum(order_count) as orders,
            sum(gross) as gross,
            sum(fees) as fees,
            sum(refunds) as refunds,
            sum(net) as net,
            sum(disputes) as disputes,
            sum(adjustments) as adjustments,
            sum(carry_in) as carry_in,
            sum(payable) as payable,
            sum(carry_out) as carry_out,
            coalesce(sum(payable) filter (where status != 'blocked'), 0) as leaving,
            coalesce(sum(payable) filter (where status = 'blocked'), 0) as held_back,
            count(*) filter (where payable > 0 and status != 'blocked') as ready,
            count(*) filter (where status = 'blocked') as blocked,
            count(*) filter (where status = 'carried_forward') as carried,
            count(*) filter (where status in ('paid', 'reversed')) as paid,
            count(*) filter (where status in ('failed', 'returned')) as failed,
            coalesce(sum(payable) filter (where status = 'failed'), 0) as failed_amount,
            coalesce(sum(payable) filter (where status = 'returned'), 0) as returned_amount,
            coalesce(sum(payable) filter (where status in ('paid', 'reversed')), 0) as paid_amount,
            coalesce(sum(payable) filter (where status in ('submitted', 'awaiting_reconciliation')), 0) as open_amount,
            coalesce(sum(payable) filter (where status = 'submitted' and rail = 'MANUAL'), 0) as by_hand_amount
        from marts.settlement_windows as rows_of_window
        -- Windows that were settled elsewhere are not looked at: their rows are added up from all their lines.
        where rows_of_window.payout_window = windows.payout_window and rows_of_window.status != 'before_start'
        group by rows_of_window.currency
    ) as sums
)

select
    totals.payout_window,
    totals.currency,
    cast(totals.sellers as bigint) as sellers,
    cast(totals.orders as bigint) as orders,
    cast(totals.ready as bigint) as ready,
    cast(totals.blocked as bigint) as blocked,
    cast(totals.carried as bigint) as carried,
    cast(totals.paid as bigint) as paid,
    cast(totals.failed as bigint) as failed,
    cast(100 * totals.gross as bigint) as gross,
    cast(100 * totals.fees as bigint) as fees,
    cast(100 * totals.refunds as bigint) as refunds,
    cast(100 * totals.net as bigint) as net,
    cast(100 * totals.disputes as bigint) as disputes,
    cast(100 * totals.adjustments as bigint) as adjustments,
    cast(100 * totals.carry_in as bigint) as carry_in,
    cast(100 * (totals.payable + totals.carry_out) as bigint) as balance,
    cast(100 * totals.carry_out as bigint) as carry_out,
    cast(100 * totals.payable as bigint) as payable,
    cast(100 * totals.leaving as bigint) as leaving,
    cast(100 * totals.held_back as bigint) as held_back,
    cast(100 * totals.failed_amount as bigint) as failed_amount,
    cast(100 * totals.returned_amount as bigint) as returned_amount,
    cast(100 * totals.paid_amount as bigint) as paid_amount,
    cast(100 * totals.open_amount as bigint) as open_amount,
    cast(100 * totals.by_hand_amount as bigint) as by_hand_amount,
    cast(100 * coalesce(held.amount, 0) as bigint) as reserve_held,
    case when totals.gross > 0 then cast(totals.refunds / totals.gross as double precision) end as refund_rate,
    case
        when totals.paid + totals.failed > 0
            then cast(cast(totals.failed as numeric) / (totals.paid + totals.failed) as double precision)
    end as failure_rate
from totals
left join lateral (
    select sum(later.net - later.disputes + later.adjustments) as amount
    from totals as later
    where
        later.currency = totals.currency
        and later.payout_window > totals.payout_window
        and later.payout_window <= totals.payout_window + cast(%(reserve_days)s as integer)
) as held on true
where totals.payout_window <= %(window)s
order by totals.payout_window, totals.currency collate "C"
