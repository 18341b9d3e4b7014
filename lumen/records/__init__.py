"""The actions and questions of clients, their usage and their history: plain functions that take the actor first."""
