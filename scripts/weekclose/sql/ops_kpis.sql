-- How much of the newest windows went by itself, beside its targets, oldest first.
select
    payout_window,
    payout_count,
    paid_count,
    automated_count,
    cast(automated_rate as double precision) as automated_rate,
    cast(automated_target as double precision) as automated_target,
    manual_count,
    cast(manual_intervention_rate as double precision) as manual_intervention_rate,
    cast(manual_intervention_limit as double precision) as manual_intervention_limit,
    cast(median_processing_seconds as double precision) as median_processing_seconds,
    kept_count,
    left_while_kept_count,
    cast(hold_compliance as double precision) as hold_compliance,
    cast(hold_compliance_target as double precision) as hold_compliance_target,
    change_count,
    audited_count,
    cast(audit_coverage as double precision) as audit_coverage,
    cast(audit_coverage_target as double precision) as audit_coverage_target
from marts.automation_kpis
where payout_window > cast(%(since)s as date)
order by payout_window
