-- What was disputed after its money was committed, by the orders' window: in hundredths, oldest first.
select
    order_window,
    currency,
    order_count,
    dispute_count,
    cast(100 * disputed as bigint) as disputed,
    cast(100 * released as bigint) as released,
    cast(100 * committed as bigint) as committed,
    cast(100 * recovered as bigint) as recovered,
    cast(100 * outstanding as bigint) as outstanding,
    cast(100 * lost as bigint) as lost,
    cast(recovery_rate as double precision) as recovery_rate,
    cast(loss_rate as double precision) as loss_rate
from marts.chargeback_losses
where order_window > cast(%(since)s as date)
order by order_window, currency collate "C"
