{# Whether an address has the form its rail asks for. Checksums are judged outside of SQL, before a build. #}
{% macro is_wallet_well_formed(rail, address) -%}
    coalesce(
        case {{ rail }}
            when 'TRC-20' then {{ address }} ~ '^T[1-9A-HJ-NP-Za-km-z]{33}$'
            when 'ERC-20' then {{ address }} ~ '^0x[0-9A-Fa-f]{40}$'
            when 'SPL' then {{ address }} ~ '^[1-9A-HJ-NP-Za-km-z]{32,44}$'
            when 'PAYPAL' then {{ address }} ~ '^([^@[:space:]]{1,64}@[^@[:space:].]+([.][^@[:space:].]+)+|[2-9A-HJ-NP-Z]{13})$'
            when 'MANUAL' then {{ address }} ~ '[^[:space:]]'
        end,
        false
    )
{%- endmacro %}
