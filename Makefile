# Thin aliases of the scripts; see README.md.
.PHONY: run test bench docs

run:
	@script/demo

test:
	@script/test

bench:
	@script/bench

docs:
	@ls docs/*.md README.md
