{% macro as_of_iso() -%}
    {%- set given = var('as_of') -%}
    {%- if not given -%}{{ return(run_started_at.isoformat()) }}{%- endif -%}
    {%- set instant = modules.datetime.datetime.fromisoformat(given) -%}
    {%- if instant.tzinfo is none -%}
        {{ exceptions.raise_compiler_error("as_of '" ~ given ~ "' has no offset: write 2026-11-15T23:00:00Z") }}
    {%- endif -%}
    {{ return(instant.isoformat()) }}
{%- endmacro %}

{% macro as_of() -%}
    cast('{{ as_of_iso() }}' as timestamptz)
{%- endmacro %}
