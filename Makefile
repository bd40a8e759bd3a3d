# Thin aliases of the scripts; see README.md.
.PHONY: help run test bench docs

help:
	@echo 'make run     three nodes on loopback that share calls, until Ctrl-C   (script/demo)'
	@echo 'make test    lint, types, layers and all the tests                    (script/test)'
	@echo 'make bench   figures, beside Kamailio and rtpengine                   (script/bench)'
	@echo 'make docs    the documentation as a site, in build/site               (script/docs)'

run:
	@script/demo

test:
	@script/test

bench:
	@script/bench

docs:
	@script/docs
