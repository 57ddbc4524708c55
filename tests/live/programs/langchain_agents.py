# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Agents of LangChain, which are made otherwise than those of LangGraph itself."""

import langgraph_agents
from harness import main
from langchain.agents import create_agent


def made_by_langchain(model, tools, *, prompt, name):
    return create_agent(model, tools, system_prompt=prompt, name=name)


langgraph_agents.create_react_agent = made_by_langchain

if __name__ == "__main__":
    main()
