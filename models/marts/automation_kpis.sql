with

claims as (
    select
        items.payout_number,
        min(attempts.started_at) as claimed_at
    from {{ source('payouts', 'batch_items') }} as items
    inner join {{ source('payouts', 'submit_attempts') }} as attempts on items.batch_id = attempts.batch_id
    where items.released_at is null
    group by items.payout_number
),

executions as (
    select
        payout_number,
        max(noted_at) as noted_at
    from {{ source('payouts', 'executions') }}
    group by payout_number
),

handled as (
    select
        payouts.payout_window,
        count(*) as payout_count,
        count(case when payouts.status in ('paid', 'reversed') then 1 end) as paid_count,
        count(
            case
                when payouts.status in ('paid', 'reversed') and interventions.payout_number is null then 1
            end
        ) as automated_count,
        count(interventions.payout_number) as manual_count,
        count(case when interventions.was_kept then 1 end) as kept_count,
        count(case when interventions.left_while_kept then 1 end) as left_count,
        percentile_cont(0.5) within group (
            order by case
                when payouts.status in ('paid', 'reversed')
                    then extract(epoch from executions.noted_at) - extract(epoch from claims.claimed_at)
            end
        ) as median_processing_seconds
    from {{ source('payouts', 'payouts') }} as payouts
    left join {{ ref('int_payout_interventions') }} as interventions
        on payouts.payout_number = interventions.payout_number
    left join executions on payouts.payout_number = executions.payout_number
    left join claims on payouts.payout_number = claims.payout_number
    group by payouts.payout_window
),

escrow as (
    select
        payout_window,
        count(*) as kept_count,
        count(case when payable > 0 and carry_out < held then 1 end) as left_count
    from {{ source('payouts', 'frozen_rows') }}
    where held > 0
    group by payout_window
),

-- What one transaction books of a payout is one change, that a batch is handed over or refused is one too.
booked as (
    select
        payouts.payout_window,
        case
            when transactions.kind in ('submit', 'release') then 'batch:' || transactions.reference
            else 'payout:' || entries.payout_number
        end as entity,
        min(transactions.booked_at) as changed_at
    from {{ source('payouts', 'ledger_entries') }} as entries
    inner join {{ source('payouts', 'ledger_transactions') }} as transactions
        on entries.transaction_id = transactions.transaction_id
    inner join {{ source('payouts', 'payouts') }} as payouts on entries.payout_number = payouts.payout_number
    -- One of the two sides.
    where entries.amount > 0
    group by payouts.payout_window, entity, transactions.booked_in
),

changes as (
    select
        changed.payout_window,
        changed.entity,
        changed.changed_at,
        coalesce(
            lead(changed.changed_at) over (
                partition by changed.payout_window, changed.entity order by changed.changed_at
            ),
            cast('infinity' as timestamptz)
        ) as next_changed_at
    from (
        select * from booked
        union all
        select
            payout_window,
            'window:' || to_char(payout_window, 'YYYY-MM-DD') as entity,
            frozen_at as changed_at
        from {{ source('payouts', 'frozen_windows') }}
        union all
        select
            payouts.payout_window,
            'payout:' || payouts.payout_number as entity,
            reversals.reversed_at as changed_at
        from {{ source('payouts', 'reversals') }} as reversals
        inner join {{ source('payouts', 'payouts') }} as payouts
            on reversals.payout_number = payouts.payout_number
    ) as changed
),

audited as (
    select
        changes.payout_window,
        changes.entity,
        changes.changed_at,
        count(entries.entry_id) > 0 as is_audited
    from changes
    left join {{ source('payouts', 'audit_log') }} as entries
        on
            changes.entity = entries.entity
            and changes.changed_at <= entries.at
            and changes.next_changed_at > entries.at
            and entries.action in (
                'freeze', 'submit', 'refusal', 'paid', 'failed', 'returned', 'awaiting_reconciliation',
                'execute', 'resolve accept', 'resolve retry', 'reverse'
            )
    group by changes.payout_window, changes.entity, changes.changed_at
),

audits as (
    select
        payout_window,
        count(*) as change_count,
        count(case when is_audited then 1 end) as audited_count
    from audited
    group by payout_window
)

select
    audits.payout_window,
    coalesce(handled.payout_count, 0) as payout_count,
    coalesce(handled.paid_count, 0) as paid_count,
    coalesce(handled.automated_count, 0) as automated_count,
    cast(cast(handled.automated_count as numeric) / nullif(handled.paid_count, 0) as numeric(12, 6))
        as automated_rate,
    0.95 as automated_target,
    coalesce(handled.manual_count, 0) as manual_count,
    cast(cast(handled.manual_count as numeric) / nullif(handled.payout_count, 0) as numeric(12, 6))
        as manual_intervention_rate,
    0.05 as manual_intervention_limit,
    cast(handled.median_processing_seconds as numeric(18, 3)) as median_processing_seconds,
    coalesce(handled.kept_count, 0) + coalesce(escrow.kept_count, 0) as kept_count,
    coalesce(handled.left_count, 0) + coalesce(escrow.left_count, 0) as left_while_kept_count,
    cast(
        1 - cast(coalesce(handled.left_count, 0) + coalesce(escrow.left_count, 0) as numeric)
        / nullif(coalesce(handled.kept_count, 0) + coalesce(escrow.kept_count, 0), 0) as numeric(12, 6)
    ) as hold_compliance,
    1.0 as hold_compliance_target,
    audits.change_count,
    audits.audited_count,
    cast(cast(audits.audited_count as numeric) / audits.change_count as numeric(12, 6)) as audit_coverage,
    1.0 as audit_coverage_target
from audits
left join handled on audits.payout_window = handled.payout_window
left join escrow on audits.payout_window = escrow.payout_window
