-- The documents that prove some payouts, oldest first; the newest of an execution is its proof.
select
    executions.payout_number,
    executions.external_reference,
    proofs.sha256,
    documents.media_type,
    octet_length(documents.content) as byte_count,
    proofs.reason,
    proofs.added_by,
    proofs.added_at,
    cast(
        proofs.proof_id = max(proofs.proof_id) over (partition by proofs.execution_id) as integer
    ) as is_active
from payouts.executions as executions
inner join payouts.proofs as proofs on executions.execution_id = proofs.execution_id
inner join payouts.documents as documents on proofs.sha256 = documents.sha256
where executions.payout_number = any(%(numbers)s)
order by proofs.proof_id
