# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""What people have their frameworks instrumented with; each is told the provider."""


def openai_openinference(provider):
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)


def openai_openllmetry(provider):
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)


def openai_v2(provider):
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)


def openai_genai(provider):
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)


def langchain_openinference(provider):
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=provider)


def langchain_openllmetry(provider):
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=provider)


def langchain_genai(provider):
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    # it wants langchain, of which langchain-core is enough
    LangChainInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


def agents_openinference(provider):
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    _only_what_comes()
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)


def agents_openllmetry(provider):
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    _only_what_comes()
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)


def agents_genai(provider):
    from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor

    _only_what_comes()
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)


def _only_what_comes():
    """Take away what would send everything to OpenAI."""
    from agents import set_trace_processors

    set_trace_processors([])


def pydantic_ai(provider):
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings

    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
