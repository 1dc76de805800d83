select
    entry_id,
    at,
    actor,
    role,
    action,
    -- A decision on a seller's row names the window, and is about the seller.
    coalesce(substring(entity from '^window:[^ ]+ (seller):'), split_part(entity, ':', 1)) as entity_kind,
    coalesce(
        substring(entity from '^window:[^ ]+ seller:(.*)$'), substring(entity from '^[^:]*:(.*)$')
    ) as entity_id,
    entity,
    before,
    after,
    reason,
    metadata
from {{ source('payouts', 'audit_log') }}
