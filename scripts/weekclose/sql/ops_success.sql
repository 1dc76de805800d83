-- How the payouts of the newest windows went, by window and currency: amounts in hundredths, oldest first.
select
    payout_window,
    currency,
    cast(sum(payout_count) as bigint) as payouts,
    cast(100 * sum(amount) as bigint) as amount,
    cast(sum(executed_count) as bigint) as executed,
    cast(sum(failed_count + returned_count) as bigint) as failed,
    cast(
        sum(executed_count)
        / nullif(sum(executed_count + failed_count + returned_count), 0) as double precision
    ) as success_rate,
    cast(
        sum(first_try_count)
        / nullif(sum(executed_count + failed_count + returned_count), 0) as double precision
    ) as first_try_rate
from marts.payment_success
where payout_window > cast(%(since)s as date)
group by payout_window, currency
order by payout_window, currency collate "C"
