-- A payout is its lines, plus what the payout before left in the balance, plus what the seller has paid back
-- of a debt between the two, less what requests took and what it leaves itself; where it takes over the lines
-- of payouts that were not paid, what those had left is in the balance already. From a payout one query must
-- reach every order it pays for: a row here is money that cannot be traced. Where a payment that the rail
-- made after all has come between, the lines are paid twice, and no sum of theirs explains what is left.
with

payouts as (
    select
        payouts.*,
        frozen_rows.carry_out
    from {{ source('payouts', 'payouts') }} as payouts
    inner join {{ source('payouts', 'frozen_rows') }} as frozen_rows
        on
            payouts.payout_window = frozen_rows.payout_window
            and payouts.seller_id = frozen_rows.seller_id
            and payouts.currency = frozen_rows.currency
    where payouts.payout_window >= {{ first_audited_window() }} and payouts.request_number is null
),

explained as (
    select
        payouts.payout_number,
        payouts.seller_id,
        payouts.currency,
        payouts.amount,
        payouts.created_at,
        payouts.carry_out,
        payout_before.payout_window as window_before,
        changed.amount as changed,
        coalesce(covered.amount, 0) as covered,
        coalesce(payout_before.carry_out, 0) as left_before,
        coalesce(taken_over.left_over, 0) as left_by_unpaid
    from payouts
    left join lateral (
        select sum(payout_lines.amount) as amount
        from {{ ref('payout_lines') }} as payout_lines
        where payout_lines.payout_number = payouts.payout_number
    ) as covered on true
    left join lateral (
        select
            frozen_rows.payout_window,
            frozen_rows.carry_out,
            earlier.created_at
        from {{ source('payouts', 'payouts') }} as earlier
        inner join {{ source('payouts', 'frozen_rows') }} as frozen_rows
            on
                earlier.payout_window = frozen_rows.payout_window
                and earlier.seller_id = frozen_rows.seller_id
                and earlier.currency = frozen_rows.currency
        where
            earlier.seller_id = payouts.seller_id
            and earlier.currency = payouts.currency
            and earlier.payout_window < payouts.payout_window
            and earlier.request_number is null
        order by earlier.payout_window desc
        limit 1
    ) as payout_before on true
    left join lateral (
        select coalesce(sum(changes.amount), 0) as amount
        from {{ ref('int_balance_changes') }} as changes
        where
            changes.seller_id = payouts.seller_id
            and changes.currency = payouts.currency
            and changes.changed_at <= payouts.created_at
            and coalesce(changes.changed_at > payout_before.created_at, true)
    ) as changed on true
    -- The payouts whose own window this one covers, and no other had covered before: they were not paid.
    left join lateral (
        select
            sum((
                select coalesce(sum(payout_lines.amount), 0)
                from {{ ref('payout_lines') }} as payout_lines
                where payout_lines.payout_number = unpaid.payout_number
            ) - unpaid.amount) as left_over
        from {{ source('payouts', 'payout_coverage') }} as coverage
        inner join {{ source('payouts', 'payouts') }} as unpaid
            on
                coverage.payout_window = unpaid.payout_window
                and payouts.seller_id = unpaid.seller_id
                and payouts.currency = unpaid.currency
        where
            coverage.payout_number = payouts.payout_number
            and unpaid.payout_number != payouts.payout_number
            and unpaid.request_number is null
            and not exists (
                select from {{ source('payouts', 'payouts') }} as between_them
                inner join {{ source('payouts', 'payout_coverage') }} as covered_before
                    on between_them.payout_number = covered_before.payout_number
                where
                    between_them.seller_id = payouts.seller_id
                    and between_them.currency = payouts.currency
                    and between_them.payout_window > unpaid.payout_window
                    and between_them.payout_window < payouts.payout_window
                    and covered_before.payout_window = unpaid.payout_window
            )
    ) as taken_over on true
)

select
    payout_number,
    seller_id,
    amount,
    covered,
    left_before,
    changed,
    left_by_unpaid,
    carry_out
from explained
where
    amount != covered + left_before + changed - left_by_unpaid - carry_out
    and not exists (
        select from {{ ref('int_late_payments') }} as late_payments
        inner join {{ source('payouts', 'ledger_entries') }} as entries
            on late_payments.payout_number = entries.payout_number
        inner join {{ source('payouts', 'ledger_transactions') }} as transactions
            on entries.transaction_id = transactions.transaction_id
        where
            late_payments.seller_id = explained.seller_id
            and late_payments.currency = explained.currency
            and transactions.booked_at <= explained.created_at
            -- Since the oldest payout that this one builds on.
            and transactions.booked_at > (
                select min(earlier.created_at) from {{ source('payouts', 'payouts') }} as earlier
                where
                    earlier.seller_id = explained.seller_id
                    and earlier.currency = explained.currency
                    and earlier.payout_window >= least(
                        explained.window_before,
                        (
                            select min(coverage.payout_window)
                            from {{ source('payouts', 'payout_coverage') }} as coverage
                            where coverage.payout_number = explained.payout_number
                        )
                    )
            )
    )
