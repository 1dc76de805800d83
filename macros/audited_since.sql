{# Whether data tests look at all there is: when somebody asks for it, and while no run was green. #}
{% macro audits_everything() -%}
    {{ return(flags.FULL_REFRESH or var('proved_until') == '-infinity') }}
{%- endmacro %}

{# The instant from which a data test that would grow with history looks: audit_days before as_of, or the last
   green run when that is longer ago, so that what was red stays red until somebody has put it right. #}
{% macro audited_since() -%}
    {%- if audits_everything() -%}
        cast('-infinity' as timestamptz)
    {%- else -%}
        least(
            {{ as_of() }} - interval '{{ var("audit_days") | int * 24 }} hours',
            cast('{{ var("proved_until") or "infinity" }}' as timestamptz)
        )
    {%- endif -%}
{%- endmacro %}
