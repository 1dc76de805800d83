-- The audit log in its order: of an action, an entity (its kind and id, or its id), an actor, between two instants.
select
    entry_id,
    at,
    actor,
    role,
    action,
    entity_kind,
    entity_id,
    entity,
    before,
    after,
    reason,
    metadata
from marts.audit_timeline
where
    (cast(%(action)s as text) is null or action = %(action)s)
    and (
        cast(%(entity)s as text) is null
        or %(entity)s in (entity_id, entity)
        or starts_with(entity, %(entity)s || ' ')
    )
    and (cast(%(actor)s as text) is null or actor = %(actor)s)
    and (cast(%(since)s as timestamptz) is null or at >= %(since)s)
    and (cast(%(until)s as timestamptz) is null or at < %(until)s)
    and entry_id > %(after)s
order by entry_id
limit %(limit)s
