"""Names that clients, keys and people of a research institution could have. All of them are made up."""

from __future__ import annotations

import unicodedata
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SUBJECTS = _words("""
    genome protein cell neuron enzyme microbiome virus plant crop soil forest river ocean climate weather storm
    glacier seismic mineral polymer catalyst plasma laser photon quantum galaxy telescope satellite orbit drone
    robot traffic bridge grid battery solar wind nuclear survey census election history archive manuscript map
    language speech poetry music museum law policy patent finance market health clinic radiology trial nursing
    nutrition sleep aging vaccine library catalog thesis citation course lecture exam grading admissions alumni
    housing campus helpdesk payroll grants
""")
ROLES = _words("""
    annotator search-bot summarizer classifier translator transcriber extractor tagger indexer pipeline assistant
    tutor chatbot digest monitor reviewer screener matcher generator planner advisor scheduler parser linker
    deduplicator simulator forecaster explorer notebook crawler ingest labeler evaluator benchmark agent batch
    rag-service q-and-a
""")
UNITS = _words("""
    ncsa igb physics chemistry biology geology astro math stats cs ece mechse civil aero nuclear-eng bioe agronomy
    vetmed medicine pharmacy public-health law business education history linguistics music library press athletics
    extension atmos ischool psych socwork kines media arts registrar it-services research-office hpc viz datalab
""")
KEYS = _words("""
    production staging development laptop cluster notebook ci nightly-batch web-frontend cron backup workshop
    grad-students testing evaluation server
""")
FIRST_NAMES = _words("""
    Ada Aiko Amara Amir Ana Anders Anika Arjun Astrid Ayla Beatriz Ben Bianca Bo Camille Carlos Chen Chiara Chloé
    Clara Daniel David Deepa Diego Dina Elena Eli Emeka Emma Erik Esther Farid Fatima Felix Fiona Gabriel Grace
    Greta Hana Hassan Helen Henrik Ibrahim Imani Ines Ingrid Isaac Ivan Jamal Jane Jin João José Julia Kaito Karim
    Kavya Kenji Kofi Lars Laura Leila Leo Lin Lucía Magnus Malik Maria Marta Mei Mikhail Mina Mohammed Nadia Naomi
    Nia Nikhil Noah Nora Olga Omar Oscar Paula Peter Priya Rafael Rania Renée Rosa Ruth Samir Sara Sofía Soren Sven
    Tamar Tariq Teresa Thabo Tomás Uma Valentina Victor Wei Yara Yusuf Yuki Zainab Zoë
""")
LAST_NAMES = _words("""
    Abbott Adeyemi Agarwal Ahmed Almeida Andersen Baker Banerjee Bauer Becker Bianchi Björk Brown Carter Castro
    Chang Chen Cohen Costa Cruz Das Davis Delgado Diallo Dubois Duarte Edwards Eriksen Evans Farah Fernández Fischer
    Foster Fujita Gallo Garcia Ghosh Gomez Green Gupta Haddad Hall Hansen Hassan Hoffmann Huang Hughes Ibarra Ito
    Ivanova Jackson Jansen Johansson Jones Kaur Keller Khan Kim Kimura Klein Kowalski Kumar Larsen Lee Lewis Li
    Lopez Mensah Meyer Miller Mitchell Moreau Moreno Müller Nakamura Nguyen Nielsen Novak Nowak Núñez Obi Okafor
    Oliveira Olsen Ortiz Osei Park Patel Pereira Petrov Phillips Popescu Quinn Rahman Ramos Reyes Rivera Roberts
    Rossi Roy Russo Sato Schmidt Schneider Shah Silva Singh Smith Sokolov Sørensen Suzuki Takahashi Tanaka Taylor
    Torres Tran Vargas Walker Wang Weber Williams Wilson Wong Wright Yamamoto Yang Yılmaz Young Zhang Zhou
    Zimmermann
""")
DOMAINS = ('example.edu', 'example.edu', 'example.edu', 'example.org')
PLAIN = str.maketrans({'ø': 'o', 'ı': 'i', 'Ø': 'O'})


def client_name(random: Random, taken: set[str]) -> str:
    """A client's name that is not `taken` (case-folded names); it is afterwards."""
    subject, role, unit = random.choice(SUBJECTS), random.choice(ROLES), random.choice(UNITS)
    parts = f'{subject}-{role}' if random.random() < 0.5 else f'{unit}-{subject}-{role}'
    style = random.random()
    if style < 0.06:
        parts = parts.replace('-', '_')
    elif style < 0.10:
        parts = parts.replace('-', ' ').title()
    elif style < 0.13:
        parts = f'{unit}.{subject}.{role}'
    name = parts
    if name.casefold() in taken:
        name = parts = f'{unit}-{subject}-{role}'
    number = 2
    while name.casefold() in taken:
        name = f'{parts}-{number}'
        number += 1
    taken.add(name.casefold())
    return name


def person(random: Random, taken: set[str]) -> tuple[str, str]:
    """A name and an e-mail address that is not `taken`; it is afterwards."""
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    local = f'{_plain(first)}.{_plain(last)}'
    domain = random.choice(DOMAINS)
    email = f'{local}@{domain}'
    number = 2
    while email in taken:
        email = f'{local}{number}@{domain}'
        number += 1
    taken.add(email)
    return f'{first} {last}', email


def _plain(name: str) -> str:
    return unicodedata.normalize('NFKD', name.translate(PLAIN)).encode('ascii', 'ignore').decode().lower()
