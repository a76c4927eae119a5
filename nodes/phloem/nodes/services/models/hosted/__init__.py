"""Hosted models: text and vectors from servers that are asked over the network, looking the same as local ones.

`service` is the backend. From a model's full name and the user's settings `endpoints` finds where to ask, with what key
(`keys`) and what that server can do (`presets`). A request becomes the JSON of one of two protocols: OpenAI's,
which nearly everyone speaks (`openai_words` says it, `openai_answer` hears the answer), and Anthropic's
(`anthropic_words`, `anthropic_answer`); `endings` says how an answer ended, `sampling` which settings go along.
`exchange` carries it, through the SDKs (`clients`) over a network that bounds what a server may do to us
(`network`), tries again while that makes sense (`patience`), and puts what goes wrong into words (`failures`),
none of which holds a key (`hiding`). `holding` and `structured` get answers in a form out of servers that hold
models to forms, and out of those that do not. `prices` knows what it cost, `tokens` about how long a text is, and
`listing` which models there are.

The SDKs and all they need are loaded when a model is first asked, never before. A program without them
runs; naming a hosted model is then an error that says what to install.
"""
