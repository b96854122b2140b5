"""Pages for modules, from their comments and signatures.

module.py     syntax and interface of a module  ──►  a Page: sections of items
text.py       doc comments                      ──►  blocks: paragraphs, lists, code
signature.py  a signature                       ──►  words, some of which lead to a type's page
markdown.py, html.py                            ──►  what is printed or written
"""
