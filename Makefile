# Tallybase: `make up` starts everything on this machine, `make test` checks everything. `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .stack/venv/bin
STACK := $(VENV)/python -m stack

.PHONY: help install up down status logs env reset destroy demo bench test lint format types docs dev

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install: ## install what the lock files name into .stack/ (every other target does it when needed)
	@$(PYTHON) -m stack.install

up: install ## start the local stack and show where it is
	@$(STACK) up

down: ## stop it; data stays
	@test ! -x $(VENV)/python || $(STACK) down

status: install ## processes, uptime, restarts, memory
	@$(STACK) status

logs: install ## follow the logs; S=postgrest for one process
	@$(STACK) logs $(S)

env: install ## addresses and keys as shell assignments
	@$(STACK) env

reset: install ## database anew from migrations and seed
	@$(STACK) reset

destroy: install ## stop and delete this instance's data and keys
	@$(STACK) destroy

demo: install ## the whole story in the terminal, with real calls
	@$(STACK) up
	@$(VENV)/python -m tests.demo

bench: install ## what it costs, against the floor
	@$(VENV)/python -m benchmarks

test: install ## every check and every test, on an instance of its own
	@$(VENV)/python -m stack.testing

lint: install ## the checks that need no server
	@$(VENV)/python -m stack.testing --only lint

format: install ## format Python
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .

types: install ## TypeScript types of the database for the front end
	@$(STACK) types

docs: install ## the generated documents and the reviewed rights, from the running database
	@$(VENV)/python -m tests.docs.functions
	@$(VENV)/python -m tests.security.pages
	@$(VENV)/python -m tests.security.acl

dev: install ## the front end's development server against the running stack
	@$(STACK) dev
